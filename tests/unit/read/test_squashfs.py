"""Reading squashfs: every name, every kind of thing, and whatever is damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.errors import ImageError
from ovenbird.image.reading.region import Region, printable
from ovenbird.image.reading.squashfs import Kind, superblock, walk

from .images import squash

ODD = [
    "a b",
    'quo"te',
    "back\\slash",
    "new\nline",
    "tab\t",
    "#",
    "#\n# START OF DATA - DO NOT MODIFY",
    " ",
    "x R 0",
    "\udcff",
]
names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200
)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A tree of odd things."""
    folder = tmp_path / "tree"
    (folder / "sub dir").mkdir(parents=True)
    for name in ODD:
        (folder / name).write_text(name, errors="surrogateescape")
    (folder / "empty").touch(mode=0o600)
    os.link(folder / "empty", folder / "sub dir" / "again")
    (folder / "link").symlink_to("a b/../c d")
    os.mkfifo(folder / "pipe")
    (folder / "a b").chmod(0o4755)
    return squash(folder, tmp_path / "odd.squashfs")


def test_every_name_and_kind_is_read(odd: Path) -> None:
    entries = walk(Region.whole(odd)).entries
    for name in ODD:
        entry = entries[f"/{name}"]
        assert entry.kind is Kind.FILE
        assert entry.sha256 == hashlib.sha256(os.fsencode(name)).hexdigest()
    assert entries["/a b"].mode == 0o4755
    assert entries["/link"].target == "a b/../c d"
    assert entries["/pipe"].kind is Kind.PIPE
    assert {entries["/empty"].same_as, entries["/sub dir/again"].same_as} in ({"", "/empty"}, {"", "/sub dir/again"})
    assert entries["/sub dir/again"].mode == 0o600
    assert entries["/"].kind is Kind.FOLDER


def test_only_the_asked_for_is_kept(odd: Path) -> None:
    tree = walk(Region.whole(odd), keep=lambda path: path == "/a b")
    assert tree.contents == {"/a b": b"a b"}


def test_a_list_alone_needs_no_data(odd: Path) -> None:
    tree = walk(Region.whole(odd), data=False)
    assert tree.entries.keys() == walk(Region.whole(odd)).entries.keys()
    assert not tree.entries["/a b"].sha256


def test_an_image_inside_of_a_file(odd: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.write_bytes(b"x" * 12288 + odd.read_bytes() + b"y" * 5000)
    size = odd.stat().st_size
    assert walk(Region(outer, 12288, size + 5000)) == walk(Region.whole(odd))
    assert superblock(Region(outer, 12288, size + 5000)).size == size


def test_a_link_that_pretends_to_be_more_paths_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "link").symlink_to("t\netc/shadow R 0 644 0 0 0 0")
    with pytest.raises(ImageError, match="name that cannot be told"):
        walk(Region.whole(squash(folder, tmp_path / "image")))


@settings(max_examples=20)
@given(st.dictionaries(names, st.binary(max_size=300), max_size=8))
def test_what_was_packed_is_what_is_read(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).write_bytes(content)
        there = {f"/{path}": (folder / path).read_bytes() for path in os.listdir(folder)}  # noqa: PTH208 (as they are)
        entries = walk(Region.whole(squash(folder, Path(name) / "image"))).entries
    found = {path: entry.sha256 for path, entry in entries.items() if path != "/"}
    assert found == {path: hashlib.sha256(content).hexdigest() for path, content in there.items()}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_cut_image_is_an_error(odd: Path, share: float) -> None:
    data = odd.read_bytes()
    used = superblock(Region.whole(odd)).size - 4096
    odd.write_bytes(data[: int(max(used, 1) * share)])
    with pytest.raises(ImageError):
        walk(Region.whole(odd))


def test_damage_never_gets_further_than_an_error(odd: Path) -> None:
    data = odd.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 40)):
        odd.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            entries = walk(Region.whole(odd)).entries
        except ImageError:
            continue
        assert "/" in entries


def test_other_files_are_an_error(tmp_path: Path) -> None:
    for content in (b"", b"hsqs", b"x" * 5000, b"hsqs" + b"\xff" * 200):
        file = tmp_path / "file"
        file.write_bytes(content)
        with pytest.raises(ImageError):
            walk(Region.whole(file))


@given(st.text())
def test_printable_is_printable_and_told_apart(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) >= len(text)


def test_the_reader_agrees_with_a_real_unpacking(odd: Path, tmp_path: Path) -> None:
    target = tmp_path / "unpacked"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", target, odd], check=True, stdout=subprocess.DEVNULL)
    real = {f"/{path.relative_to(target)}" for path in target.rglob("*")}
    assert real == walk(Region.whole(odd)).entries.keys() - {"/"}
    shutil.rmtree(target)


def test_a_failing_reader_removes_nothing_of_the_machine(odd: Path) -> None:
    """unsquashfs removes its output when it fails; as root it once took /dev/stdout with it."""
    before = os.readlink("/dev/stdout")  # noqa: PTH115 (the link's own text)
    odd.write_bytes(odd.read_bytes()[:96] + bytes(4000))
    with pytest.raises(ImageError):
        walk(Region.whole(odd))
    assert os.readlink("/dev/stdout") == before  # noqa: PTH115
