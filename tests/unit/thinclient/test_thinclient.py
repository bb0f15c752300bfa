"""The thin client's reading of its command line: servers, time zone, time servers, the hour to switch off."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import sys
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tool import ROOT

FILE = ROOT / "examples/thinclient/stages/thinclient/files/usr/lib/thinclient/thinclient.py"


def _load() -> Any:  # noqa: ANN401  # A program of an example, which is in no package.
    spec = importlib.util.spec_from_file_location("thinclient", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["thinclient"] = module
    spec.loader.exec_module(module)
    return module


program = _load()
plain = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F).filter(str.isprintable), min_size=1, max_size=12)
hosts = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,12}[a-z0-9])?", fullmatch=True)
sixes = st.ip_addresses(v=6).map(str)
options = plain.map(lambda text: f"/{text}")
names = plain.filter(lambda text: text.strip() == text)


@st.composite
def _server(draw: st.DrawFn) -> Any:  # noqa: ANN401  # A Server of the program.
    address = draw(st.one_of(hosts, sixes))
    words = draw(st.lists(options, max_size=3))
    return program.Server(draw(names), address, draw(st.integers(1, 65535)), tuple(words))


def _name(server: Any) -> str:  # noqa: ANN401  # A Server of the program.
    return str(server.name)


servers = st.lists(_server(), max_size=4, unique_by=_name)


def written(server: Any) -> str:  # noqa: ANN401  # A Server of the program.
    address = f"[{server.address}]" if ":" in server.address else server.address
    words = ",".join(quote(word, safe="/") for word in server.options)
    return f"{quote(server.name, safe='')}:{address}:{server.port}:{words}"


@given(servers)
def test_a_list_is_read_as_it_was_written(offered: list[Any]) -> None:
    assert program.parse_servers(";".join(map(written, offered))) == offered


@given(st.text('ab:;[]./,%0123456789-+ \n"', max_size=60))
def test_any_text_is_a_list_or_an_error_that_says_where(text: str) -> None:
    try:
        found = program.parse_servers(text)
    except program.ListError as error:
        assert re.match(r'server \d+ \("|two servers are called "', str(error))  # noqa: PT017
    else:
        for server in found:
            assert server.words()[0].startswith("/v:")


@given(st.dictionaries(st.sampled_from(["servers", "ntp", "timezone"]), st.from_regex(r"[!#-~]{0,20}", fullmatch=True)))
def test_words_of_a_command_line(words: dict[str, str]) -> None:
    line = " ".join(["quiet", *(f'thinclient.{name}="{value}"' for name, value in words.items()), "root=x"])
    assert program.said(line) == words
    assert program.said(f"{line} thinclient.ntp=last").get("ntp") == "last"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("office", "is not name:address:port:options"),
        (":10.0.0.1", "has no name"),
        ("office:10.0.0.1:70000", '"70000" is no port'),
        ("office:10.0.0.1:rdp", '"rdp" is no port'),
        ("office:", '"" is no address'),
        ("office:[10.0.0.1]", "is no address"),
        ("a:b;office:10.0.0.1:3389:fullscreen", "server 2"),
        ("office:a;office:b", 'two servers are called "office"'),
    ],
)
def test_mistakes_are_told(text: str, part: str) -> None:
    with pytest.raises(program.ListError, match=re.escape(part)):
        program.parse_servers(text)


def test_how_a_server_is_called() -> None:
    one = program.parse_servers("lab:[fe80::1]:3390:/u:guest,/kbd:layout:de")[0]
    assert one.words()[:2] == ["/v:[fe80::1]:3390", "/f"]
    assert "/sec:tls" not in one.words()
    assert one.words()[-2:] == ["/u:guest", "/kbd:layout:de"]
    assert "/sec:tls" in program.parse_servers("lab:10.0.0.1")[0].words()
    assert ipaddress.ip_address(one.address)


def test_other_settings() -> None:
    assert program.hour("07:30") == "07:30"
    assert program.time_servers("10.0.0.1,ntp.example.org,fd00::1") == ["10.0.0.1", "ntp.example.org", "fd00::1"]
    wrong = ((program.hour, "24:00"), (program.hour, "7"), (program.time_servers, "a b"), (program.time_zone, "../etc"))
    for read, text in wrong:
        with pytest.raises(program.ListError):
            read(text)
    assert program.settings({"shutdown": "late", "timezone": "Moon/Base"}) == [
        'thinclient.timezone: there is no time zone "Moon/Base"',
        'thinclient.shutdown: "late" is no time of day such as 22:00',
    ]
