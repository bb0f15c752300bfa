"""Who may connect, under which names, and how clients and readings are understood."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from ovenbird_device.web import view
from ovenbird_device.web.auth import Throttle, basic
from ovenbird_device.web.negotiate import wants_html
from ovenbird_device.web.settings import Settings, parse_hosts, parse_networks


@pytest.mark.parametrize(
    "peer",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.9",
        "169.254.1.1",
        "::1",
        "fe80::1%eth0",
        "fd12::5",
        "::ffff:10.0.2.2",
    ],
)
def test_private_peers_are_served(peer: str) -> None:
    assert Settings().may_connect(peer)


@pytest.mark.parametrize(
    "peer", ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8", "", "unix", "0.0.0.0", "224.0.0.1"]
)
def test_other_peers_are_not(peer: str) -> None:
    assert not Settings().may_connect(peer)


def test_other_peers_can_be_allowed() -> None:
    settings = Settings(allowed=parse_networks("203.0.113.0/24, 2001:db8::/32"))
    assert settings.may_connect("203.0.113.7")
    assert settings.may_connect("::ffff:203.0.113.7")
    assert settings.may_connect("2001:db8::7")
    assert not settings.may_connect("8.8.8.8")
    assert Settings(allowed=parse_networks("any")).may_connect("8.8.8.8")
    with pytest.raises(ValueError, match="nonsense"):
        parse_networks("nonsense")


@given(st.ip_addresses())
def test_peers_agree_with_the_registry(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if Settings().may_connect(str(address)):
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        assert (mapped or address).is_private


def own() -> str:
    return socket.gethostname().partition(".")[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "10.0.2.15", "[::1]:80", "[fe80::1%25eth0]", "localhost", "LOCALHOST:99", "oven.lan"]
)
def test_own_names(host: str) -> None:
    assert Settings(hosts=parse_hosts("oven.lan")).knows_host(host)


def test_own_host_name() -> None:
    assert Settings().knows_host(own())
    assert Settings().knows_host(f"{own()}.local:80")
    assert Settings().knows_host(f"{own()}.local.")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "::1",
        "a b",
        "127.0.0.1:",
        "x@127.0.0.1",
        "127.0.0.1/",
        "127.0.0.1\n",
        "١٢٧.0.0.1",
    ],
)
def test_foreign_names(host: str) -> None:
    assert not Settings().knows_host(host)


def test_foreign_domain_of_own_name() -> None:
    assert not Settings().knows_host(f"{own()}.evil.example")


@given(st.text())
def test_any_host_is_borne(host: str) -> None:
    Settings().knows_host(host)


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html;q=0", False),
        ("text/*", True),
        ("text/html;q=x", False),
    ],
)
def test_who_gets_html(accept: str, html: bool) -> None:
    assert wants_html(Headers({"accept": accept})) is html


@given(st.text(), st.text())
def test_any_header_is_borne(accept: str, authorization: str) -> None:
    headers = Headers(raw=[(b"accept", accept.encode("latin-1", "replace"))])
    wants_html(headers)
    basic(Headers(raw=[(b"authorization", b"Basic " + authorization.encode("latin-1", "replace"))]))


def test_throttle_doubles_and_forgives() -> None:
    throttle = Throttle()
    waits: list[float] = []
    now = 1000.0
    for _ in range(14):
        throttle.failed("10.0.0.1", now)
        waits.append(throttle.wait("10.0.0.1", now))
        now += waits[-1]
    assert waits[:6] == [0, 0, 0, 0, 1, 2]
    assert waits[-1] == 60
    assert throttle.wait("10.0.0.2", now) == 0
    throttle.failed("10.0.0.1", now + 4000)
    assert throttle.wait("10.0.0.1", now + 4000) == 0


def test_throttle_is_bounded() -> None:
    throttle = Throttle()
    for number in range(2000):
        throttle.failed(str(number), 1.0)
    assert throttle.wait("1999", 1.0) == 0


def test_sizes_and_durations() -> None:
    assert view.sized(0) == "0 B"
    assert view.sized(1536) == "1.5 KiB"
    assert view.sized(64 << 20) == "64 MiB"
    assert view.sized(3 << 40) == "3.0 TiB"
    assert view.duration(5.9) == "5 s"
    assert view.duration(3600 * 25) == "1 d 1 h"
    assert view.duration(61) == "1 min 1 s"


@given(st.floats(0, 1e18))
def test_any_size_and_duration_is_short(value: float) -> None:
    assert len(view.sized(value)) < 20
    assert view.duration(value)
