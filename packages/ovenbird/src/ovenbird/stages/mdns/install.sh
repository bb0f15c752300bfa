#!/bin/sh
# A file of systemd.dnssd(5) for each service. systemd-resolved announces them where multicast DNS is on.
set -eu

services="${services:-}"

install -d -m 0755 /usr/lib/systemd/dnssd
for service in $services; do
    type=${service%:*}
    port=${service##*:}
    if [ "$port" -gt 65535 ]; then
        echo "mdns: port $port is larger than 65535" >&2
        exit 1
    fi
    name=${type#_}
    printf '[Service]\nName=%%H\nType=%s\nPort=%s\n' "$type" "$port" \
        > "/usr/lib/systemd/dnssd/service-${name%%.*}-$port.dnssd"
done
