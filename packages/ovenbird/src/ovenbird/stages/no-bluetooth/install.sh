#!/bin/sh
# Without these modules there is no Bluetooth, whatever the hardware or a program asks for.
set -eu

install -d -m 0755 /etc/modprobe.d
for module in bluetooth btusb btsdio btbcm btintel btrtl btmtk hci_uart bnep rfcomm hidp; do
    # A blacklist keeps a module from being loaded for a device; `install` also from being loaded by name or for another.
    echo "blacklist $module"
    echo "install $module /bin/false"
done > /etc/modprobe.d/no-bluetooth.conf
systemctl mask bluetooth.service hciuart.service 2> /dev/null
