#!/bin/sh
# The gadget is made when the kernel finds a USB port that can be one, and networkd gives it its address.
set -eu

stage="${stage:-/run/stage}"
address="${address:-10.55.0.1/24}"
dhcp="${dhcp:-true}"

install -D -m 0755 "$stage/ovenbird-gadget" /usr/libexec/ovenbird-gadget
install -D -m 0644 "$stage/ovenbird-gadget@.service" /usr/lib/systemd/system/ovenbird-gadget@.service
install -D -m 0644 "$stage/ovenbird-gadget.rules" /usr/lib/udev/rules.d/90-ovenbird-gadget.rules
{
    echo "[Match]"
    echo "Type=gadget"
    echo
    echo "[Link]"
    # Without a cable it is no reason to wait at boot.
    echo "RequiredForOnline=no"
    echo
    echo "[Network]"
    echo "Address=$address"
    echo "MulticastDNS=yes"
    echo "LinkLocalAddressing=ipv6"
    echo "IPv6AcceptRA=no"
    echo "ConfigureWithoutCarrier=yes"
    if [ "$dhcp" = true ]; then
        echo "DHCPServer=yes"
        echo
        echo "[DHCPServer]"
        # The PC's way to the rest of the world is not through this device.
        echo "EmitRouter=no"
        echo "EmitDNS=no"
        echo "EmitNTP=no"
        echo "PersistLeases=no"
    fi
} > /usr/lib/systemd/network/70-ovenbird-gadget.network
