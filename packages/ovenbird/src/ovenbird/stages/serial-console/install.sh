#!/bin/sh
# A login on one serial port, as systemd's own unit has it, but for the speed and who is asked.
set -eu

fail() {
    echo "serial-console: $1" >&2
    exit 1
}

port="${port:-}"
speed="${speed:-115200}"
login="${login:-true}"
user="${user:-}"
unit="serial-getty@$port.service"

if [ "$login" != true ]; then
    # Masked, as systemd starts one for each serial port that the kernel has as a console.
    systemctl mask "$unit" 2> /dev/null
    exit 0
fi
words="--noclear --local-line"
if [ -n "$user" ]; then
    getent passwd "$user" > /dev/null || fail "there is no user $user (the stages ssh and users make some; put this one after)"
    words="$words --autologin $user"
fi
install -d -m 0755 "/etc/systemd/system/$unit.d"
{
    echo "[Service]"
    echo "ExecStart="
    # shellcheck disable=SC2016 # systemd's own variable
    printf 'ExecStart=-/sbin/agetty %s %s - ${TERM}\n' "$words" "$speed"
} > "/etc/systemd/system/$unit.d/ovenbird.conf"
systemctl enable "$unit" 2> /dev/null
