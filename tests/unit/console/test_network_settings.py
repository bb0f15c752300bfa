"""What can be set for an interface: nothing else gets into the file of systemd-networkd."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.network.settings import NetworkSettings, SettingsError, is_interface, parse, read, render

IMAGE = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\nDNS=9.9.9.9\nMulticastDNS=yes\nLinkLocalAddressing=yes\n"
TEXT = st.text(max_size=40)
HOSTS = st.one_of(st.ip_addresses().map(str), TEXT)
PREFIXED = st.tuples(HOSTS, st.sampled_from(["", "/24", "/64"])).map("".join)
LISTS = st.lists(PREFIXED, max_size=10)


def fixed(addresses: str, gateways: str = "", dns: str = "") -> NetworkSettings:
    return parse({"mode": "fixed", "addresses": addresses, "gateways": gateways, "dns": dns})


def test_fixed() -> None:
    found = fixed("192.168.1.7/24, fd00::7/64", "192.168.1.1 fe80::1", "192.168.1.1,9.9.9.9")
    assert found == NetworkSettings(
        addresses=("192.168.1.7/24", "fd00::7/64"), gateways=("192.168.1.1", "fe80::1"), dns=("192.168.1.1", "9.9.9.9")
    )
    lines = render("eth0", found, IMAGE).splitlines()
    assert lines[2:] == [
        "[Match]",
        "Name=eth0",
        "",
        "[Network]",
        "Address=192.168.1.7/24",
        "Address=fd00::7/64",
        "Gateway=192.168.1.1",
        "Gateway=fe80::1",
        "DNS=192.168.1.1",
        "DNS=9.9.9.9",
        "MulticastDNS=yes",
        "LinkLocalAddressing=yes",
    ]


def test_what_the_network_gives() -> None:
    assert render("eth0", parse({"mode": "dhcp", "addresses": "nonsense"}), "").splitlines()[-1] == "DHCP=yes"
    text = render("eth0", parse({"mode": "dhcp", "dns": "9.9.9.9"}), "")
    assert "DNS=9.9.9.9" in text
    assert text.count("UseDNS=no") == 3


@pytest.mark.parametrize(
    ("addresses", "gateways", "dns", "says"),
    [
        ("", "", "", "at least one"),
        ("192.168.1.7", "", "", "prefix length"),
        ("192.168.1.7/33", "", "", "no address"),
        ("192.168.1.0/24", "", "", "nobody's"),
        ("192.168.1.255/24", "", "", "nobody's"),
        ("127.0.0.1/8", "", "", "nobody's"),
        ("224.0.0.1/4", "", "", "nobody's"),
        ("0.0.0.0/0", "", "", "nobody's"),
        ("10.0.0.1/0", "", "", "whole internet"),
        ("fe80::1%eth0/64", "", "", "no address"),
        ("10.0.0.1/24", "10.0.1.1", "", "none of the networks"),
        ("10.0.0.1/24", "10.0.0.1", "", "own address"),
        ("10.0.0.1/24", "10.0.0.2 10.0.0.3", "", "one gateway"),
        ("10.0.0.1/24", "x", "", "no address for a gateway"),
        ("10.0.0.1/24", "fd00::1", "", "none of the networks"),
        ("10.0.0.1/24", "", "dns.example", "name server"),
        ("10.0.0.1/24", "", "::1", "no name server"),
        (" ".join(f"10.0.0.{number}/24" for number in range(1, 10)), "", "", "At most 8"),
        ("10.0.0.1/24", "", "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5", "At most"),
    ],
)
def test_what_makes_no_sense(addresses: str, gateways: str, dns: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        fixed(addresses, gateways, dns)


def test_point_to_point_addresses_are_fine() -> None:
    assert fixed("10.0.0.0/31", "10.0.0.1").addresses == ("10.0.0.0/31",)
    assert fixed("10.0.0.7/32").addresses == ("10.0.0.7/32",)


@given(st.sampled_from(["dhcp", "fixed", "image", ""]), LISTS, LISTS, LISTS)
def test_nothing_else_gets_into_the_file(mode: str, addresses: list[str], gateways: list[str], dns: list[str]) -> None:
    given = {"addresses": " ".join(addresses), "gateways": ",".join(gateways), "dns": " ".join(dns)}
    try:
        found = parse({"mode": mode, **given})
    except SettingsError:
        return
    text = render("eth0", found, IMAGE)
    keys = ("Address=", "Gateway=", "DNS=", "DHCP=yes", "UseDNS=no", "MulticastDNS=yes", "LinkLocalAddressing=yes")
    for line in text.splitlines()[2:]:
        assert line in ("", "Name=eth0") or line.startswith((*keys, "[")), line
    assert {line for line in text.splitlines() if line.startswith("[")} <= {
        "[Match]", "[Network]", "[DHCPv4]", "[DHCPv6]", "[IPv6AcceptRA]",
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        path = Path(folder) / "eth0.network"
        path.write_text(text)
        assert read(path) == found


@given(st.binary(max_size=200))
def test_any_file_is_borne(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "eth0.network"
        path.write_bytes(b"# ovenbird " + data)
        read(path)


@pytest.mark.parametrize("name", ["eth0", "enp3s0", "wlan0", "end0", "eth0.10", "usb0", "enx00e04c680001"])
def test_names(name: str) -> None:
    assert is_interface(name)


@pytest.mark.parametrize(
    "name", ["", "lo", "..", ".", "eth*", "a b", "eth0\n", "../eth0", "[a]", "!eth0", "-a", "x" * 16, "é"]
)
def test_what_is_no_name(name: str) -> None:
    assert not is_interface(name)
