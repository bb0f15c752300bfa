#!/bin/sh
# Puts the two commands and the unit behind them in place. Nothing is writable until somebody says so on the device.
set -eu

stage="${stage:-/run/stage}"
size="${size:-50%}"

install -D -m 0755 "$stage/ovenbird-writable" /usr/libexec/ovenbird-writable
install -D -m 0644 "$stage/ovenbird-writable.service" /usr/lib/systemd/system/ovenbird-writable.service
install -D -m 0755 "$stage/rw" /usr/sbin/rw
install -D -m 0755 "$stage/ro" /usr/sbin/ro
install -d -m 0755 /usr/lib/systemd/system/ovenbird-writable.service.d
# systemd reads % as the start of one of its specifiers.
printf '[Service]\nEnvironment=SIZE=%s\n' "$(printf '%s' "$size" | sed 's/%/%%/g')" \
    > /usr/lib/systemd/system/ovenbird-writable.service.d/size.conf
