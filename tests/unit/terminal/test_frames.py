"""Messages between page and shell: what is written is read again, and anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.terminal import frames
from ovenbird_device.terminal.frames import Data, FrameError, Hello, Over, Seen, Size

CELLS = st.integers(1, frames.MOST_CELLS)
TYPED = st.one_of(
    st.builds(Data, st.binary(min_size=1, max_size=frames.LONGEST_TYPED - 1)),
    st.builds(Size, CELLS, CELLS),
    st.builds(Seen, st.integers(1, frames.WINDOW)),
)
TOLD = st.one_of(
    st.builds(Data, st.binary(min_size=1, max_size=frames.LONGEST_TOLD - 1)),
    st.builds(Over, st.sampled_from(["ended", "idle", "silent", "failed"])),
    st.builds(Hello, st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}", fullmatch=True)),
)


@given(TYPED)
def test_what_a_page_says(message: frames.Typed) -> None:
    assert frames.typed(frames.pack(message)) == message


@given(TOLD)
def test_what_a_shell_says(message: frames.Told) -> None:
    assert frames.told(frames.pack(message)) == message


@given(st.one_of(st.binary(max_size=40), st.binary(min_size=4000, max_size=20_000)))
def test_anything_else_is_refused_or_means_just_that(junk: bytes) -> None:
    """There is one way to write each message."""
    for read in (frames.typed, frames.told):
        try:
            message = read(junk)
        except FrameError:
            continue
        assert frames.pack(message) == junk


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00",
        b"\x00" + bytes(frames.LONGEST_TYPED),
        b"\x01\x00\x00\x00\x18",
        b"\x01\x03\xe9\x00\x18",
        b"\x02\x00\x00\x00\x00",
        b"\x02\xff\xff\xff\xff",
        b"\x03\x00",
        b"\x04a",
        b"\x05",
    ],
)
def test_what_no_page_says(message: bytes) -> None:
    with pytest.raises(FrameError):
        frames.typed(message)


@pytest.mark.parametrize("message", [b"", b"\x03\x09", b"\x04../x", b"\x04a\n", b"\x01\x00\x50\x00\x18", bytes(16385)])
def test_what_no_shell_says(message: bytes) -> None:
    with pytest.raises(FrameError):
        frames.told(message)
