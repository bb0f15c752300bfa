"""What counts as a network that still works; and the real `ip` in a network namespace of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.health.network import Family, Network, addresses_of, compare, recall, remember

GATEWAY, ADDRESS, NONE = Family("gateway", "eth0", "10.0.2.2"), Family("address"), Family()
families = st.sampled_from([GATEWAY, ADDRESS, NONE])
networks = st.builds(Network, families, families)


def test_other_addresses_and_gateways_are_as_good() -> None:
    after = Network(Family("gateway", "eth7", "192.168.7.1", ("192.168.7.9",)))
    assert compare(Network(GATEWAY), after).ok


def test_less_than_before_is_not() -> None:
    assert not compare(Network(GATEWAY), Network(ADDRESS)).ok
    assert not compare(Network(ADDRESS), Network(NONE)).ok
    assert not compare(Network(GATEWAY, GATEWAY), Network(GATEWAY, NONE)).ok
    assert compare(Network(GATEWAY), Network(ADDRESS)).detail == (
        "IPv4 reaches its gateway before the update, and now has an address"
    )


@given(networks, networks)
def test_what_did_not_work_need_not_and_more_is_welcome(before: Network, after: Network) -> None:
    assert compare(None, after).ok
    assert compare(Network(), after).ok
    assert compare(before, before).ok
    assert compare(before, Network(GATEWAY, GATEWAY)).ok


def test_only_addresses_that_reach_somewhere_count() -> None:
    links = [
        {"ifname": "lo", "flags": ["LOOPBACK", "LOWER_UP"], "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "eth0", "flags": ["UP", "LOWER_UP"], "addr_info": [{"local": "10.0.2.15"}, {"local": "fe80::1"}]},
        {"ifname": "eth1", "flags": ["UP"], "addr_info": [{"local": "192.168.1.1"}]},
        {},
    ]
    text = json.dumps(links).encode()
    assert addresses_of(text, 4) == ("10.0.2.15",)
    assert addresses_of(text, 6) == ()
    assert addresses_of(b"rubbish", 4) == ()


def test_the_note_survives_and_is_written_only_when_it_changes(tmp_path: Path) -> None:
    note = tmp_path / "network-before.json"
    assert recall(note) is None
    remember(Network(GATEWAY), note)
    assert recall(note) == Network(GATEWAY)
    before = note.stat().st_mtime_ns
    remember(Network(GATEWAY), note)
    assert note.stat().st_mtime_ns == before
    note.write_text('{"ipv4": 7}')
    assert recall(note) is None


SCRIPT = """
set -e
ip link set lo up
unshare -n sleep 60 &
peer=$!
trap 'kill $peer' EXIT
while [ "$(readlink /proc/$peer/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add eth0 type veth peer name far
ip link set far netns $peer
ip address add 10.9.8.2/24 dev eth0
ip link set eth0 up
nsenter -t $peer -n ip address add 10.9.8.1/24 dev far
nsenter -t $peer -n ip link set far up
ip route add default via 10.9.8.1
"$1" "$2"
nsenter -t $peer -n ip address del 10.9.8.1/24 dev far
ip neighbour flush all
"$1" "$2"
ip link set eth0 down
"$1" "$2"
"""
LOOK = """
import asyncio, sys
from ovenbird_device.health.network import look_around
import msgspec
print(msgspec.json.encode(asyncio.run(look_around())).decode())
"""


def test_a_real_gateway_that_goes_away(tmp_path: Path) -> None:
    """As root of a user namespace with a network namespace and a neighbour, made and gone with the test."""
    if not shutil.which("ip") or subprocess.run(["unshare", "-rn", "ip", "link"], capture_output=True).returncode:
        pytest.skip("no `ip`, or no network namespaces for users here")
    look = tmp_path / "look.py"
    look.write_text(LOOK)
    done = subprocess.run(
        ["unshare", "-rnm", "sh", "-c", SCRIPT, "sh", sys.executable, str(look)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with_gateway, without, unplugged = (json.loads(line)["ipv4"] for line in done.stdout.splitlines())
    assert with_gateway["reach"] == "gateway"
    assert (with_gateway["interface"], with_gateway["gateway"]) == ("eth0", "10.9.8.1")
    assert without["reach"] == "address"
    assert unplugged["reach"] == "none"


def test_no_ip_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ovenbird_device.health.network import look_around

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="ip"):
        asyncio.run(look_around())
