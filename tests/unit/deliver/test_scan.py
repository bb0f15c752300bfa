"""Devices found by their announcements and by their hardware addresses, on the loopback and in a network of the test's
own: nothing is sent on a real interface.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Generator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.deliver.speaker import Speaker
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from ovenbird.build.device import device_package
from ovenbird.deliver import mdns, neighbours, scan
from ovenbird.errors import UsageError

pytestmark = pytest.mark.usefixtures("air")
LOOPBACK = "127.0.0.1"


@contextmanager
def announced(hostname: str, port: int, *addresses: str) -> Generator[None]:
    """What a device's systemd-resolved does, on the loopback."""
    zeroconf = Zeroconf(interfaces=[LOOPBACK], ip_version=IPVersion.V4Only)
    info = ServiceInfo(
        mdns.SERVICE,
        f"{hostname}.{mdns.SERVICE}",
        port=port,
        addresses=[socket.inet_aton(one) for one in addresses or (LOOPBACK,)],
        properties={"path": "/"},
        server=f"{hostname}.local.",
    )
    try:
        zeroconf.register_service(info)
        yield
    finally:
        zeroconf.close()


def scanned(addresses: int) -> list[scan.Found]:
    """Look around until so many addresses were found, as a person would on a busy machine."""
    found: list[scan.Found] = []
    for _ in range(20):
        found = scan.scan(1.5, [LOOPBACK])
        if sum(len(one.addresses) for one in found) >= addresses:
            break
    return found


def test_announced_devices_are_found_and_asked(speaker: Speaker) -> None:
    with announced("oven", speaker.port), announced("gone", 9):
        found = scanned(2)
    assert [(one.hostname, one.announced, one.raspberry_pi) for one in found] == [
        ("gone", True, False),
        ("oven", True, False),
    ]
    gone, oven = found
    assert oven.glance is not None
    assert (oven.target, oven.glance.name, oven.glance.version, oven.glance.slot, oven.glance.health) == (
        f"127.0.0.1:{speaker.port}",
        "hello",
        "1.4.0",
        "a",
        "ok",
    )
    assert scan.row(oven)[:6] == ["oven", "hello", "1.4.0", "a", "ok", "QEMU Standard PC"]
    assert gone.glance is None
    assert "does not answer" in gone.trouble


def test_a_device_with_two_addresses_is_one(speaker: Speaker) -> None:
    with announced("oven", speaker.port, LOOPBACK, "127.0.0.2"):
        (found,) = scanned(2)
    assert found.addresses == (LOOPBACK, "127.0.0.2")
    assert found.glance is not None


def test_the_verb(speaker: Speaker) -> None:
    program = str(Path(sys.executable).with_name("ovenbird"))
    with announced("oven", speaker.port):
        words = [program, "scan", "--interface", LOOPBACK, "--wait", "6"]  # a busy machine is slow to answer
        done = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=60, check=True)
        lines = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        targets = subprocess.run([*words, "--targets"], capture_output=True, text=True, timeout=60, check=True)
    (one,) = json.loads(done.stdout)
    assert (one["hostname"], one["glance"]["version"]) == ("oven", "1.4.0")
    assert lines[1].split()[:5] == ["oven", "hello", "1.4.0", "a", "ok"]
    assert targets.stdout == f"127.0.0.1:{speaker.port}\n"


def test_nobody_there_is_said() -> None:
    program = str(Path(sys.executable).with_name("ovenbird"))
    words = [program, "scan", "--interface", LOOPBACK, "--wait", "0.5"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, "No devices were found" in done.stderr) == ("", True)


@pytest.mark.parametrize("name", ["nosuch0", "203.0.113.7"])
def test_an_unknown_interface_is_said(name: str) -> None:
    with pytest.raises(UsageError, match=f"no interface {name}"):
        scan.scan(0.1, [name])


def test_the_image_announces_what_is_looked_for() -> None:
    """systemd-resolved reads this file on a device (systemd.dnssd(5))."""
    said = ConfigParser(interpolation=None)
    said.read(device_package() / "units/ovenbird.dnssd")
    assert f"{said['Service']['Type']}.local." == mdns.SERVICE
    assert said["Service"]["Name"] == "%H"


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("b8:27:eb:01:02:03", True),
        ("DC:A6:32:01:02:03", True),
        ("88:a2:9e:ff:ff:ff", True),
        ("f0:40:af:9f:00:01", True),
        ("f0:40:af:80:00:01", False),
        ("8c:1f:64:34:af:00", True),
        ("8c:1f:64:34:bf:00", False),
        ("52:54:00:12:34:56", False),
        ("", False),
    ],
)
def test_hardware_addresses_of_raspberry_pis(address: str, ours: bool) -> None:
    assert neighbours.is_raspberry_pi(address) is ours


def test_what_the_kernel_says_of_neighbours() -> None:
    text = json.dumps(
        [
            {"dst": "10.0.0.7", "dev": "eth0", "lladdr": "b8:27:eb:01:02:03", "state": ["STALE"]},
            {"dst": "10.0.1.8", "dev": "eth1", "lladdr": "d8:3a:dd:01:02:03", "state": ["REACHABLE"]},
            {"dst": "fe80::1", "dev": "eth0", "lladdr": "b8:27:eb:01:02:03", "state": ["STALE"]},
            {"dst": "10.0.0.9", "dev": "eth0", "lladdr": "52:54:00:01:02:03", "state": ["REACHABLE"]},
            {"dst": "10.0.0.10", "dev": "eth0", "lladdr": "b8:27:eb:01:02:04", "state": ["FAILED"]},
            {"dst": "10.0.0.11", "dev": "eth0", "state": ["INCOMPLETE"]},
        ]
    )
    assert [one.address for one in neighbours.parse(text)] == ["10.0.0.7", "10.0.1.8"]
    assert [one.address for one in neighbours.parse(text, ["eth1"])] == ["10.0.1.8"]
    assert neighbours.parse("") == neighbours.parse("Command failed") == []


CONNECT = 'import socket; socket.create_connection(("10.99.0.7", 8099))'
INSIDE = """
import json, sys
from ovenbird.deliver import scan
import msgspec
print(msgspec.json.encode(scan.scan(0.5, ["near"], int(sys.argv[1]))).decode())
"""


def test_a_raspberry_pi_that_does_not_announce_itself(tmp_path: Path) -> None:
    """In a network namespace of its own: two ends of a cable, the far one with a Raspberry Pi's hardware address."""
    speaker = Path(__file__).with_name("speaker.py")
    script = f"""
set -e
ip link set lo up
ip link add near type veth peer name far
ip address add 10.99.0.1/24 dev near
ip link set near up
ip link set far up
ip neighbour add 10.99.0.7 lladdr b8:27:eb:01:02:03 dev near nud permanent
ip neighbour add 10.99.0.8 lladdr dc:a6:32:01:02:03 dev near nud permanent
ip address add 10.99.0.7/32 dev lo
{sys.executable} {speaker} 10.99.0.7 8099 & server=$!
trap 'kill $server' EXIT
for _ in $(seq 100); do {sys.executable} -c '{CONNECT}' && break; sleep 0.1; done
{sys.executable} -c '{INSIDE}' 8099
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(one["target"], one["raspberry_pi"], one["glance"] is not None) for one in found] == [
        ("10.99.0.7:8099", True, True),
        ("10.99.0.8:8099", True, False),
    ]
