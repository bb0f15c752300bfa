#!/bin/sh
# The settings, judged as the device will judge them, the service, and its program.
set -eu

stage="${stage:-/run/stage}"
own="${settings:-}"

# What is wrong goes where the builder's own lines go, to be the last of them.
mode="${mode:-}" curve="${curve:-}" on="${on:-}" off="${off:-}" sensors="${sensors:-}" interval="${interval:-}" \
    window="${window:-}" hysteresis="${hysteresis:-}" minimum="${minimum:-}" kick="${kick:-}" output="${output:-}" \
    hwmon="${hwmon:-}" pwm="${pwm:-}" gpio="${gpio:-}" inverted="${inverted:-}" frequency="${frequency:-}" \
    PYTHONPATH=/usr/lib/ovenbird \
    python3 -P -S -B -m ovenbird_device.fan.make /etc/ovenbird/fan.toml ${own:+"$stage/$own"} 2>&1

install -D -m 0644 "$stage/ovenbird-fan.service" /usr/lib/systemd/system/ovenbird-fan.service
install -D -m 0755 "$stage/ovenbird-fan" /usr/bin/ovenbird-fan
systemctl enable ovenbird-fan.service 2> /dev/null
