"""cpio: round trips, equal bytes, hostile archives, and the real cpio on the other side."""

from __future__ import annotations

import io
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, cpio


class Drip:
    """A stream that gives one to a few bytes at a time, like a socket."""

    def __init__(self, data: bytes, step: int) -> None:
        self.stream = io.BytesIO(data)
        self.step = step

    def read(self, size: int, /) -> bytes:
        return self.stream.read(min(size, self.step))


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda name: ".." not in name)
members = st.lists(st.tuples(names, st.binary(max_size=3000), st.booleans()), max_size=6)


def archive(content: list[tuple[str, bytes, bool]]) -> bytes:
    out = io.BytesIO()
    with cpio.Writer(out, mtime=1700000000) as writer:
        for name, data, with_sum in content:
            check = sum(data) & cpio.MAX_SIZE if with_sum else None
            writer.stream(name, io.BytesIO(data), len(data), check=check)
    return out.getvalue()


@given(members, st.integers(1, 700))
def test_round_trip_through_a_dripping_stream(content: list[tuple[str, bytes, bool]], step: int) -> None:
    data = archive(content)
    assert data == archive(content)
    assert len(data) % 512 == 0
    found = [(member.entry.name, member.all(1 << 20)) for member in cpio.read(Drip(data, step), flat=True)]
    assert found == [(name, body) for name, body, _ in content]


@given(members)
def test_members_may_be_skipped(content: list[tuple[str, bytes, bool]]) -> None:
    found = [member.entry.name for member in cpio.read(io.BytesIO(archive(content)))]
    assert found == [name for name, _, _ in content]


@given(members.filter(bool), st.data())
def test_a_cut_archive_is_an_error(content: list[tuple[str, bytes, bool]], data: st.DataObject) -> None:
    whole = archive(content)
    end = whole.rindex(b"TRAILER!!!") + 11
    cut = data.draw(st.integers(0, end - 1))
    with pytest.raises(FormatError, match="ends inside"):
        list(cpio.read(io.BytesIO(whole[:cut])))


@given(members, st.data())
def test_a_changed_byte_never_does_more_than_raise(content: list[tuple[str, bytes, bool]], data: st.DataObject) -> None:
    raw = bytearray(archive(content))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        for member in cpio.read(io.BytesIO(bytes(raw)), flat=True):
            assert "/" not in member.entry.name
            member.skip()
    except FormatError:
        pass


@given(st.binary(max_size=400))
def test_noise_is_an_error(noise: bytes) -> None:
    with pytest.raises(FormatError):
        list(cpio.read(io.BytesIO(noise)))


def test_a_wrong_sum_is_found_even_in_a_skipped_member() -> None:
    raw = archive([("x", b"abc", True)])
    with pytest.raises(FormatError, match="checksum of 'x' is wrong"):
        list(cpio.read(io.BytesIO(raw.replace(b"abc", b"abd"))))


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../b", "..", "a/b", "x" * 300])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        list(cpio.read(io.BytesIO(archive([(name, b"x", False)])), flat=True))


def test_a_limit_holds_before_anything_is_read() -> None:
    raw = archive([("x", b"a" * 100, False)])
    with pytest.raises(FormatError, match="at most 99"):
        next(cpio.read(io.BytesIO(raw))).all(99)


def test_what_does_not_fit_is_not_written() -> None:
    writer = cpio.Writer(io.BytesIO())
    with pytest.raises(FormatError, match="cannot be a member"):
        writer.file("", b"")
    with pytest.raises(FormatError, match="ends 1 bytes early"):
        writer.stream("x", io.BytesIO(b"a"), 2)
    writer.close()
    with pytest.raises(FormatError, match="closed"):
        writer.file("x", b"")


@pytest.mark.interop
def test_the_real_cpio_unpacks_ours_and_we_read_its(tmp_path: Path) -> None:
    out = io.BytesIO()
    with cpio.Writer(out, mtime=1700000000) as writer:
        writer.directory("d")
        writer.file("d/tool", b"#!/bin/sh\n", 0o755)
        writer.link("d/link", "tool")
    subprocess.run(["cpio", "-idm", "--quiet"], input=out.getvalue(), cwd=tmp_path, check=True)
    assert (tmp_path / "d/tool").stat().st_mode == stat.S_IFREG | 0o755
    assert (tmp_path / "d/tool").stat().st_mtime == 1700000000
    assert (tmp_path / "d/link").readlink() == Path("tool")
    for kind in ("newc", "crc"):
        made = subprocess.run(
            ["cpio", "-o", "-H", kind, "--quiet"], input=b"d\nd/tool\n", cwd=tmp_path, capture_output=True, check=True
        ).stdout
        found = {member.entry.name: member.all(100) for member in cpio.read(io.BytesIO(made))}
        assert found == {"d": b"", "d/tool": b"#!/bin/sh\n"}
