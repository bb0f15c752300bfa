#!/bin/sh
# systemd feeds the hardware; the watchdog daemon, without the hardware, looks at load and memory.
set -eu

fail() {
    echo "watchdog: $1" >&2
    exit 1
}

number() { # NAME VALUE
    case "$2" in
        *[!0-9]* | "") fail "$1 \"$2\" is not a whole number" ;;
    esac
}

heartbeat="${heartbeat:-13}"
reboot_timeout="${reboot_timeout:-120}"
modules="${modules:-}"
load="${load:-24 18 12}"
memory="${memory:-8M}"
number heartbeat "$heartbeat"
number reboot_timeout "$reboot_timeout"

install -d -m 0755 /etc/systemd/system.conf.d
{
    echo "[Manager]"
    if [ "$heartbeat" -gt 0 ]; then
        echo "RuntimeWatchdogSec=${heartbeat}s"
        echo "RebootWatchdogSec=${reboot_timeout}s"
    else
        echo "RuntimeWatchdogSec=off"
        echo "RebootWatchdogSec=off"
    fi
} > /etc/systemd/system.conf.d/watchdog.conf

install -d -m 0755 /etc/modules-load.d
rm -f /etc/modules-load.d/watchdog.conf
for module in $modules; do
    echo "$module" >> /etc/modules-load.d/watchdog.conf
done

# shellcheck disable=SC2086 # three words are wanted
set -- $load
[ $# -eq 3 ] || fail "load takes three numbers (1, 5 and 15 minutes), not \"$load\""
number load "$1"
number load "$2"
number load "$3"

case "$memory" in
    *K) kibibytes=${memory%K} factor=1 divisor=1 ;;
    *M) kibibytes=${memory%M} factor=1024 divisor=1 ;;
    *G) kibibytes=${memory%G} factor=1048576 divisor=1 ;;
    *) kibibytes=$memory factor=1 divisor=1024 ;;
esac
number memory "$kibibytes"
# The daemon counts in pages of 4 KiB.
pages=$((kibibytes * factor / divisor / 4))

{
    echo "# No watchdog-device: the hardware belongs to systemd (RuntimeWatchdogSec in /etc/systemd/system.conf.d)."
    echo "interval = 5"
    echo "realtime = yes"
    echo "priority = 1"
    # A single bad reading is no reason: it has to last.
    echo "retry-timeout = 60"
    if [ "$1" -gt 0 ]; then echo "max-load-1 = $1"; fi
    if [ "$2" -gt 0 ]; then echo "max-load-5 = $2"; fi
    if [ "$3" -gt 0 ]; then echo "max-load-15 = $3"; fi
    if [ "$pages" -gt 0 ]; then echo "min-memory = $pages"; fi
} > /etc/watchdog.conf
{
    echo "run_watchdog=1"
    echo "run_wd_keepalive=0"
    echo "watchdog_options=\"\""
    echo "watchdog_module=\"none\""
} > /etc/default/watchdog
# It would take the hardware whenever the daemon stops.
systemctl mask wd_keepalive.service 2> /dev/null
systemctl enable watchdog.service 2> /dev/null
