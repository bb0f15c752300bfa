"""Archives that anybody may have made: what is unpacked stays in its folder, and within its bounds."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dev.conftest import archive

from ovenbird_device.dev.unpack import Limits, Unpacked, unpack
from ovenbird_device.format import FormatError, ustar

PARTS = st.sampled_from(["a", "b", "c", "..", ".", "", "long" * 12, "ü"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(lambda path: len(path.encode()) < 100)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
PLAIN = st.lists(st.sampled_from(["a", "b", "c", "d e", "ü"]), min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(st.tuples(PATHS, TYPES, PATHS, st.binary(max_size=600), st.integers(0, 0o7777)), max_size=12)
LINKS = st.lists(st.tuples(PLAIN, PATHS), min_size=1, max_size=8, unique_by=lambda one: one[0])


def into(folder: Path, data: bytes, limits: Limits | None = None) -> Unpacked:
    return unpack(io.BytesIO(data).read, folder, limits or Limits())


def look_at(outer: Path) -> None:
    """Everything in `outer/program` is plain, ours and inside, and there is nothing beside it."""
    folder = outer / "program"
    assert [one.name for one in outer.iterdir()] in (["program"], [])
    for place, folders, files in os.walk(folder):
        for one in (*folders, *files):
            path = Path(place, one)
            about = path.lstat()
            assert about.st_uid == os.geteuid()
            if stat.S_ISLNK(about.st_mode):
                with suppress(OSError, RuntimeError):  # a circle of links leads nowhere
                    assert path.resolve().is_relative_to(folder.resolve())
            elif stat.S_ISREG(about.st_mode):
                assert stat.S_IMODE(about.st_mode) in (0o644, 0o755, 0o600)  # the last one where it was cut off
            else:
                assert stat.S_ISDIR(about.st_mode)
                assert stat.S_IMODE(about.st_mode) == 0o755


@given(ENTRIES)
def test_nothing_leads_out(entries: list[tuple[str, bytes, str, bytes, int]]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, target, content, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode, entry.uid = kind, target, mode, 1000
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(content))
    with tempfile.TemporaryDirectory() as name:
        with suppress(FormatError):
            into(Path(name) / "program", out.getvalue())
        look_at(Path(name))


@given(LINKS)
def test_links_together_lead_nowhere_else(links: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        with suppress(FormatError):
            into(Path(name) / "program", archive(*links))
        look_at(Path(name))


@given(st.dictionaries(PLAIN, st.tuples(st.binary(max_size=1500), st.booleans()), max_size=6))
def test_what_is_packed_comes_out(files: dict[str, tuple[bytes, bool]]) -> None:
    names = [one for one in files if not any(other.startswith(f"{one}/") for other in files)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for one in names:
            content, executable = files[one]
            entry = tarfile.TarInfo(one)
            entry.size, entry.mode = len(content), 0o4775 if executable else 0o666
            tar.addfile(entry, io.BytesIO(content))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "program"
        assert into(folder, out.getvalue()).size == sum(len(files[one][0]) for one in names)
        for one in names:
            content, executable = files[one]
            assert (folder / one).read_bytes() == content
            assert stat.S_IMODE((folder / one).stat().st_mode) == (0o755 if executable else 0o644)


@given(st.data())
def test_damaged_archives_are_refused_or_read(data: st.DataObject) -> None:
    whole = bytearray(archive(("a/main.py", b"print()" * 50), ("a/link", "main.py"), ("b", b"x" * 700)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as name:
        with suppress(FormatError):
            into(Path(name) / "program", bytes(whole[:cut]))
        look_at(Path(name))


@given(st.binary(max_size=2048))
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        with suppress(FormatError):
            assert into(Path(name) / "program", data).entries == 0
        look_at(Path(name))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../out", b"x")], "no path inside"),
        ([("/etc/passwd", b"x")], "no path inside"),
        ([("a", "../out")], "leads out"),
        ([("a/b", "../../out")], "leads out"),
        ([("a", "/etc/passwd")], "leads out"),
        ([("a", "b/../..")], "leads out"),
        ([("a", "."), ("a/x", b"x")], "leads out"),
        ([("d/x", b""), ("a", "d"), ("a/y", b"x")], "is no folder"),
        ([("a", b"1"), ("a", b"2")], "twice"),
        ([("a", b"1"), ("a/b", b"2")], "is no folder"),
    ],
)
def test_ways_out(tmp_path: Path, entries: list[tuple[str, bytes | str]], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        into(tmp_path / "program", archive(*entries))
    look_at(tmp_path)


def test_links_inside_stay(tmp_path: Path) -> None:
    into(tmp_path / "program", archive(("lib/x.so.1", b"code"), ("lib/x.so", "x.so.1"), ("bin/x", "../lib/x.so")))
    assert (tmp_path / "program/bin/x").read_bytes() == b"code"


def test_bounds(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="too large"):
        into(tmp_path / "a", archive(("a", b"x" * 3000), ("b", b"x" * 3000)), Limits(size=5000))
    with pytest.raises(FormatError, match="more than 3 files"):
        into(tmp_path / "b", archive(*((f"f{number}", b"") for number in range(5))), Limits(entries=3))
    lying = bytearray(archive(("a", b"x")))
    lying[124:136] = b"77777777777\0"
    with pytest.raises(FormatError, match="damaged"):
        into(tmp_path / "c", bytes(lying))
    large = tarfile.TarInfo("a")
    large.size = 6 << 30
    with pytest.raises(FormatError, match="too large"):
        into(tmp_path / "d", large.tobuf(tarfile.USTAR_FORMAT))


def test_other_kinds_of_tar_are_refused(tmp_path: Path) -> None:
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            tar.addfile(tarfile.TarInfo("x" * 120))
        with pytest.raises(FormatError):
            into(tmp_path / str(number), out.getvalue())


def test_the_rule_for_links() -> None:
    assert ustar.stays_inside("a/b/c", "../../d/e")
    assert ustar.stays_inside("a/b", "..")
    assert not ustar.stays_inside("a", "..")
    assert not ustar.stays_inside("a/b", "c/../../..")
    assert not ustar.stays_inside("a", "")
