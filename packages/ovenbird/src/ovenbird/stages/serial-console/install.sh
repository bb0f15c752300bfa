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
# Not wanted by a target: the boot would wait for a port that is not there. Where there is one, udev asks for its login.
install -d -m 0755 /usr/lib/udev/rules.d
echo "SUBSYSTEM==\"tty\", KERNEL==\"$port\", ACTION!=\"remove\", TAG+=\"systemd\", ENV{SYSTEMD_WANTS}+=\"$unit\"" \
    > "/usr/lib/udev/rules.d/90-serial-console-$port.rules"
