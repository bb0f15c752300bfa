"""`serve.toml`: what it says, and each mistake with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.deliver.serve.choice import Asker, find
from ovenbird.deliver.serve.settings import Book, read
from ovenbird.recipe.problems import RecipeProblemsError

GOOD = """
[server]
interface = "eth1"
dhcp = "full"
first = "10.0.0.10"
last = "10.0.0.20"
menu = "5s"

[all]
image = "thin"
command_line = ["quiet"]
zram = 25

[group.lab]
command_line = ["ovenbird.rdp=main:10.0.0.2:3389;spare:10.0.0.3"]
overlays = ["http://10.0.0.1/fonts.squashfs"]

[client.desk-1]
mac = "52-54-00-AA-00-01"
group = "lab"
zram = 0
overlays = ["own.squashfs"]
[[client.desk-1.display]]
connector = "HDMI-A-1"
mode = "1920x1080@60"
rotate = 90

[client.pi]
serial = "100000003D1A"
image = "thin-arm"
"""


def book(folder: Path, text: str, images: tuple[str, ...] = ("thin", "thin-arm")) -> Book:
    """The file with that text, read."""
    (folder / "own.squashfs").write_bytes(b"overlay")
    file = folder / "serve.toml"
    file.write_text(text)
    return read(file, images)


def test_all_group_and_client_lie_over_each_other(tmp_path: Path) -> None:
    """Lists grow, all else is the last one's; a client is called as its table is."""
    found = book(tmp_path, GOOD)
    assert found.server.dhcp == "full"
    assert found.server.menu == 5
    desk = found.clients["desk-1"]
    assert desk.command_line == ("quiet", "ovenbird.rdp=main:10.0.0.2:3389;spare:10.0.0.3")
    assert desk.overlays == ("http://10.0.0.1/fonts.squashfs", str((tmp_path / "own.squashfs").resolve()))
    assert (desk.image, desk.zram, desk.hostname) == ("thin", 0, "desk-1")
    assert (found.clients["pi"].image, found.clients["pi"].zram) == ("thin-arm", 25)


def test_a_client_is_found_by_address_then_by_number(tmp_path: Path) -> None:
    """However either is written."""
    found = book(tmp_path, GOOD)
    assert find(found, Asker(mac="52:54:00:aa:00:01"))[0] == "desk-1"
    assert find(found, Asker(mac="52:54:00:aa:00:01", serial="100000003d1a"))[0] == "desk-1"
    assert find(found, Asker(mac="52:54:00:aa:00:09", serial=" 100000003d1A"))[0] == "pi"
    name, everyone = find(found, Asker(mac="52:54:00:aa:00:09"))
    assert (name, everyone.image) == ("", "thin")


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[sever]\n", 1, "unknown section `sever`", "did you mean `server`?"),
        ("[all]\nimge = 'thin'\n", 2, "unknown key `imge`", "did you mean `image`?"),
        ("[all]\n\nimage = 'thinn'\n", 3, 'there is no image "thinn"', "did you mean `thin`?"),
        ("[client.a]\nimage = 'thin'\n", 1, "neither `mac` nor `serial`", "52:54:00"),
        ("[client.a]\nmac = '52:54:00:12:34'\n", 2, "no hardware address", "52:54:00:12:34:56"),
        ("[client.a]\nmac = '53:54:00:12:34:56'\n", 2, "of a group", ""),
        ("[client.a]\nmac = '52:54:00:12:34:56'\ngroup = 'x'\n", 3, 'no group "x"', "[group.x]"),
        (
            "[client.a]\nmac = '52:54:00:12:34:56'\n[client.b]\nmac = '52-54-00-12-34-56'\n",
            4,
            "that of line 2 again",
            "",
        ),
        ("[all]\ncommand_line = ['a b']\n", 2, "more than one word", '"a", "b"'),
        ("[all]\ncommand_line = ['a=$b']\n", 2, "because of $", ""),
        ("[all]\ncommand_line = ['ovenbird.zram=3']\n", 2, "is the key `zram`", "zram = "),
        ("[all]\ncommand_line = ['ovenbird.root=x']\n", 2, "is set by the server", ""),
        ("[all]\noverlays = ['none.squashfs']\n", 2, 'no file "none.squashfs"', ""),
        ("[all]\noverlays = ['http://a/b;c']\n", 2, '";" in it', "a list"),
        ("[all]\nzram = 900\n", 2, "from 0 to 200", ""),
        ("[all]\n[[all.display]]\nrotate = 45\n", 3, "0, 90, 180 or 270", ""),
        ("[all]\n[[all.display]]\nmode = 'big'\n", 3, "no mode", "1920x1080"),
        ("[server]\ndhcp = 'all'\n", 2, 'cannot be "all"', ""),
        ("[server]\nfirst = '10.0.0.1'\nlast = '10.0.0.9'\n", 2, "no meaning", "full"),
        ("[server]\ndhcp = 'full'\nfirst = '10.0.0.1'\n", 3, "needs `last`", ""),
        ("[server]\naddress = 'fe80::1'\n", 2, "IPv6", ""),
        ("[server\n", 1, "not TOML", ""),
    ],
)
def test_a_mistake_has_its_line(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    """One clear error."""
    with pytest.raises(RecipeProblemsError) as caught:
        book(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert message in problem.message
    assert hint in (problem.hint or "")


MACS = st.binary(min_size=6, max_size=6).map(lambda raw: bytes([raw[0] & 0xFE]) + raw[1:])
SPELLINGS = st.sampled_from([(":", str.lower), (":", str.upper), ("-", str.lower), ("-", str.upper)])


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.tuples(MACS, SPELLINGS), max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_client_is_found_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, clients: dict[str, tuple[bytes, tuple[str, type[str]]]]
) -> None:
    """By its address, and nobody else's; two with one address are refused."""
    folder = tmp_path_factory.getbasetemp()
    text = "".join(f'[client.{name}]\nmac = "{how(raw.hex(mark))}"\n' for name, (raw, (mark, how)) in clients.items())
    if len({raw for raw, _ in clients.values()}) < len(clients):
        with pytest.raises(RecipeProblemsError):
            book(folder, text)
        return
    found = book(folder, text)
    for name, (raw, _) in clients.items():
        assert find(found, Asker(mac=raw.hex(":")))[0] == name


PIECES = st.sampled_from(
    ["[all]", "[client.a]", "[[client.a.display]]", "[group.g]", "[server]", "=", "mac", "image", "overlays", "display",
     "command_line", "zram", '"x"', "[1]", "{}", "true", "\n", " ", "\x00", "é", "dhcp", '"full"', "group", "."]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
@settings(max_examples=200, deadline=None)
def test_nothing_but_a_clear_error_comes_of_nonsense(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever is written there."""
    file = tmp_path_factory.getbasetemp() / "nonsense.toml"
    file.write_text(text)
    with suppress(RecipeProblemsError):
        read(file, ("thin",))
