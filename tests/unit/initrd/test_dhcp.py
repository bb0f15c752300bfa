"""The initrd's way to an address and a file, with the real dnsmasq in a network of its own: DHCP, names, TFTP."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.unit.initrd.room import furnish

# Two cables. On the far end of the second one a server listens, but only from the client's second question on.
NETWORK = """
    ip link set lo up
    for number in 0 1; do
        ip link add "far$number" type veth peer name "near$number"
        ip link set "far$number" up
        ip link set "near$number" up
    done
    ip addr add 10.77.0.1/24 dev far1
    serve() {
        while [ ! -e "$1/asked" ]; do sleep 0.1; done
        exec dnsmasq --conf-file=/dev/null --no-daemon --user=root --group= --pid-file= --no-ping \\
            --dhcp-authoritative --no-resolv --no-hosts --address=/boot.test/10.77.0.1 \\
            --interface=far1 --bind-interfaces \\
            --dhcp-range=10.77.0.50,10.77.0.50,1h --dhcp-leasefile="$1/leases" --domain=test \\
            --dhcp-option=121,10.99.0.0/16,10.77.0.9,0.0.0.0/0,10.77.0.1 \\
            --enable-tftp --tftp-root="$1/boot" >"$1/dnsmasq.log" 2>&1
    }
    serve "$0" &
"""
FIND = """
    network=1 debug=0 root=tftp://boot.test/images/root meminfo=/meminfo sys=/fake
    load_modules() { echo "modules $1" >>/said; }
    sleep() { echo "pause $1" >>/said; : >/asked; usleep 500000; }
    for name in near0 near1; do
        mkdir -p /fake/class/net/$name/device
        echo 1 >/fake/class/net/$name/type
    done
    parse_ip dhcp
    bring_up
    ip -4 route show
    mount -t tmpfs -o mode=700 toram /toram
    fetch 'The root' "$root" /toram/root "$1"
    hand_over_network
    take_down
    ip -4 addr show dev near1
    cat /run/systemd/network/*
"""


def test_all_interfaces_are_asked_until_one_answers(tmp_path: Path) -> None:
    room = furnish(tmp_path / "room", {"meminfo": b"MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n"})
    root = os.urandom((1 << 20) + 321)
    (room.folder / "boot/images").mkdir(parents=True)
    (room.folder / "boot/images/root").write_bytes(root)
    (room.folder / "boot").chmod(0o755)
    said = room.shell(FIND, hashlib.sha256(root).hexdigest(), network=NETWORK)
    assert "No DHCP server answers: near0 (" in room.said
    assert "near1 (" in room.said
    assert "near1 has 10.77.0.50/24" in room.said
    # Routes come from option 121 where it is given (RFC 3442).
    assert "default via 10.77.0.1 dev near1" in said
    assert "10.99.0.0/16 via 10.77.0.9 dev near1" in said
    # Nothing is left of it for the system, which asks for itself.
    assert "10.77.0.50" not in said.partition("10.99.0.0/16")[2]
    assert said.endswith(
        "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\nMulticastDNS=yes\nLinkLocalAddressing=yes\n\n"
        "[DHCPv4]\nClientIdentifier=mac\n"
    )
    assert "sent" in (room.folder / "dnsmasq.log").read_text()
