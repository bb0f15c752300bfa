"""The kernel command line between boot loader, initrd and device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, cmdline
from ovenbird_device.format.cmdline import Cmdline

word = st.from_regex(r"[A-Za-z0-9:/.=_-]{1,20}", fullmatch=True)
others = word.filter(lambda text: not text.startswith(cmdline.PREFIX))
lines = st.builds(
    Cmdline,
    slot=st.sampled_from(["", "a", "b"]),
    root=word,
    hash=word,
    data=word,
    toram=st.booleans(),
    overlays=st.lists(word, max_size=3).map(tuple),
    zram=st.integers(0, 100),
    packing=st.sampled_from(["", *cmdline.PACKINGS]),
    size=st.integers(0, 1 << 40),
    home=word,
    trial=st.booleans(),
    debug=st.booleans(),
    others=st.lists(others, max_size=4).map(tuple),
)


@given(lines)
def test_round_trip(line: Cmdline) -> None:
    assert cmdline.parse(cmdline.render(line)) == line


@given(st.text())
def test_no_text_stops_a_device(text: str) -> None:
    assert isinstance(cmdline.parse(text), Cmdline)


def test_as_grub_writes_it() -> None:
    text = "BOOT_IMAGE=/vmlinuz ovenbird.slot=b ovenbird.root=PARTUUID=1-2 ovenbird.data=PARTUUID=3-4"
    text += " ovenbird.trial quiet\n"
    line = cmdline.parse(text)
    assert (line.slot, line.root, line.data, line.trial) == ("b", "PARTUUID=1-2", "PARTUUID=3-4", True)
    assert line.others == ("BOOT_IMAGE=/vmlinuz", "quiet")


def test_quotes_keep_words_together() -> None:
    assert cmdline.parse('ovenbird.overlays="a b;c" x="1 2"') == Cmdline(overlays=("a b", "c"), others=('x="1 2"',))


@pytest.mark.parametrize("bad", ["a='1'", 'a="1"', "a=$x", "a\\b", "x;y", "ä"])
def test_what_grub_would_change_is_refused(bad: str) -> None:
    with pytest.raises(FormatError, match="GRUB would change"):
        cmdline.for_grub(["quiet", bad])


@pytest.mark.parametrize("bad", ["ovenbird.slot=b", "ovenbird.trial", "ovenbird.root=x"])
def test_what_grub_writes_is_refused(bad: str) -> None:
    with pytest.raises(FormatError, match="boot loader's to write"):
        cmdline.for_grub([bad])


def test_words_are_joined_and_limited() -> None:
    assert cmdline.for_grub(["console=ttyS0,115200  gpt", "panic=10"]) == "console=ttyS0,115200 gpt panic=10"
    with pytest.raises(FormatError, match="1800 fit"):
        cmdline.for_grub(["x" * 1801])
