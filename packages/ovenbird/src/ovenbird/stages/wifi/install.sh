#!/bin/sh
# Puts the service of each Wi-Fi interface in place. Networks and passphrases are never in the image.
set -eu

stage="${stage:-/run/stage}"
country="${country:-}"

case "$country" in
    "" | [A-Z][A-Z]) ;;
    *)
        echo "wifi: country \"$country\" is not two capital letters such as AT" >&2
        exit 1
        ;;
esac

install -D -m 0755 "$stage/ovenbird-wifi" /usr/libexec/ovenbird-wifi
install -D -m 0644 "$stage/ovenbird-wifi@.service" /usr/lib/systemd/system/ovenbird-wifi@.service
install -D -m 0644 "$stage/ovenbird-wifi.rules" /usr/lib/udev/rules.d/90-ovenbird-wifi.rules
install -D -m 0644 "$stage/ovenbird-wifi.network" /usr/lib/systemd/network/80-ovenbird-wifi.network
install -D -m 0644 "$stage/wait-online.conf" /usr/lib/systemd/system/systemd-networkd-wait-online.service.d/ovenbird-wifi.conf
install -d -m 0755 /etc/modprobe.d
if [ -n "$country" ]; then
    echo "options cfg80211 ieee80211_regdom=$country" > /etc/modprobe.d/ovenbird-wifi.conf
fi
# The one that D-Bus starts would take the same interfaces.
systemctl mask wpa_supplicant.service 2> /dev/null
