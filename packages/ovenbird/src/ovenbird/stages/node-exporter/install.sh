#!/bin/sh
# The arguments of Debian's service, and who may reach it: numbers about a machine are nobody's business elsewhere.
set -eu

fail() {
    echo "node-exporter: $1" >&2
    exit 1
}

port="${port:-9100}"
case "$port" in
    *[!0-9]* | "" | 0*) fail "port \"$port\" is not a port" ;;
esac
[ "$port" -le 65535 ] || fail "port $port is larger than 65535"

words="--web.listen-address=:$port"

collectors() { # PREFIX NAME...; one that does not exist would keep the service from starting, where it is harder to see
    prefix=$1
    shift
    for name in "$@"; do
        case "$name" in
            *[!a-z0-9_]*) fail "\"$name\" is not the name of a collector" ;;
        esac
        prometheus-node-exporter --help 2>&1 | grep -q -e "--\(\[no-\]\)\{0,1\}collector\.$name\b" ||
            fail "there is no collector \"$name\""
        words="$words $prefix$name"
    done
}
# shellcheck disable=SC2086  # One word a collector.
collectors --collector. ${enable:-}
# shellcheck disable=SC2086
collectors --no-collector. ${disable:-}
printf 'ARGS="%s"\n' "$words" > /etc/default/prometheus-node-exporter

install -d -m 0755 /etc/systemd/system/prometheus-node-exporter.service.d
{
    echo "[Service]"
    echo "IPAddressDeny=any"
    echo "IPAddressAllow=${networks:-}"
} > /etc/systemd/system/prometheus-node-exporter.service.d/ovenbird.conf
systemctl enable prometheus-node-exporter.service 2> /dev/null
