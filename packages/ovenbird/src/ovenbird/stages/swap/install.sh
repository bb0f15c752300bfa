#!/bin/sh
# What systemd's zram generator makes at each boot.
set -eu

percent="${percent:-50}"
algorithm="${algorithm:-zstd}"
swappiness="${swappiness:-100}"

{
    echo "[zram0]"
    echo "zram-size = ram * $percent / 100"
    echo "compression-algorithm = $algorithm"
    echo "swap-priority = 100"
} > /etc/systemd/zram-generator.conf
install -d -m 0755 /etc/sysctl.d
{
    echo "vm.swappiness = $swappiness"
    # Reading ahead is for disks.
    echo "vm.page-cluster = 0"
} > /etc/sysctl.d/60-swap.conf
