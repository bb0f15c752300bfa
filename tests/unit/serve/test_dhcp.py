"""dnsmasq's settings by dnsmasq's own check, its log, the question for other servers, and what others are told."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.deliver.serve import foreign, probe
from ovenbird.deliver.serve.dnsmasq import Plan, Sighting, configuration, sighting
from ovenbird.deliver.serve.network import Place, check_range
from ovenbird.deliver.serve.settings import Server
from ovenbird.errors import UsageError

PLACE = Place("eth1", IPv4Interface("10.0.0.1/24"))
PLAN = Plan(
    Server(),
    PLACE,
    "http://10.0.0.1:8080",
    Path("/srv/programs"),
    frozenset({"amd64", "arm64"}),
    "10.0.0.128",
    "10.0.0.254",
)
KINDS = ("proxy", "full", "none")


@pytest.mark.parametrize("dhcp", KINDS)
@pytest.mark.parametrize("bios", ["ipxe", "pxelinux"])
def test_dnsmasq_takes_what_it_is_told(dhcp: str, bios: str, tmp_path: Path) -> None:
    """By its own check."""
    server = Server(dhcp=dhcp, bios=bios, gateway="10.0.0.2" if dhcp == "full" else None, dns=("10.0.0.2",))  # type: ignore[arg-type] # of KINDS
    (tmp_path / "conf").write_text(configuration(replace(PLAN, server=server)))
    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={tmp_path}/conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "conf").write_text("port=0\n" + foreign.text(foreign.Kind.DNSMASQ, PLAN))
    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={tmp_path}/conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("dnsmasq-dhcp: 1 DHCPACK(br0) 10.0.0.5 52:54:00:aa:00:01 pc", Sighting("52:54:00:aa:00:01", "10.0.0.5")),
        ("dnsmasq-dhcp: 1 DHCPDISCOVER(br0) 52:54:00:aa:00:01", Sighting("52:54:00:aa:00:01")),
        ("dnsmasq-dhcp: 1 PXE(br0) 10.0.0.5 52:54:00:aa:00:01 snponly.efi", Sighting("52:54:00:aa:00:01", "10.0.0.5")),
        ("dnsmasq-tftp: sent /srv/snponly.efi to 10.0.0.5", Sighting(address="10.0.0.5", file="/srv/snponly.efi")),
        ("dnsmasq-dhcp: 1 next server: 10.0.0.1", None),
    ],
)
def test_the_log_is_read(line: str, seen: Sighting | None) -> None:
    """Lines as dnsmasq 2.90 writes them."""
    assert sighting(line) == seen


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    """A host name in it may be anything."""
    sighting(line)


def offer(number: int, *, kind: int = 2) -> bytes:
    """A DHCPOFFER as a server sends it."""
    question = bytearray(probe.discover(b"\x52\x54\x00\xaa\x00\x01", number))
    question[26:30] = bytes((10, 0, 0, 2))
    question[34:38] = bytes((0, 67, 0, 68))
    question[42] = 2
    question[58:62] = bytes((10, 0, 0, 77))
    question[42 + 240 :] = bytes((53, 1, kind, 54, 4, 10, 0, 0, 2, 255))
    return bytes(question)


def test_an_offer_is_recognised() -> None:
    """The one that answers our question."""
    assert probe.parse(offer(7), 7) == probe.Answer("10.0.0.2", "10.0.0.77")
    assert probe.parse(offer(7), 8) is None
    assert probe.parse(offer(7, kind=5), 7) is None
    assert probe.parse(probe.discover(bytes(6), 7), 7) is None


@given(st.binary(max_size=400), st.integers(0, 399), st.binary(max_size=8))
def test_any_frame_can_be_read(frame: bytes, at: int, piece: bytes) -> None:
    """Whoever sends it."""
    probe.parse(frame, 7)
    good = bytearray(offer(7))
    good[at : at + len(piece)] = piece
    probe.parse(bytes(good), 7)


def test_the_range_is_in_the_network() -> None:
    """The upper half, unless something else is asked for."""
    assert check_range(Server(dhcp="full"), PLACE) == ("10.0.0.128", "10.0.0.254")
    assert check_range(Server(first="10.0.0.5", last="10.0.0.9"), PLACE) == ("10.0.0.5", "10.0.0.9")
    with pytest.raises(UsageError, match="not in the network"):
        check_range(Server(first="10.0.1.5", last="10.0.1.9"), PLACE)
    with pytest.raises(UsageError, match="no addresses to give"):
        check_range(Server(), Place("lo", IPv4Interface("127.0.0.1/32")))
