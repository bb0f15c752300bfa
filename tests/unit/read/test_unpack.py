"""`extract`: what was packed comes out, in the named folder and nowhere else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovenbird.errors import ImageError, UsageError
from ovenbird.image.reading.disk import open_image, root_region
from ovenbird.image.reading.unpack import unpack_initrd, unpack_root
from ovenbird_device.format import cpio

from .images import Images, build

NOBODY = 65534


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """One build."""
    return build(tmp_path_factory.mktemp("unpack") / "out")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def archive(folder: Path, members: list[tuple[str, int, bytes]]) -> Path:
    """A plain cpio archive with these names, modes and contents, sound or not."""
    out = folder / "initrd.cpio"
    with out.open("wb") as file, cpio.Writer(file) as writer:
        for name, mode, content in members:
            if stat.S_ISDIR(mode):
                writer.directory(name, mode & 0o7777)
            elif stat.S_ISLNK(mode):
                writer.link(name, content.decode())
            else:
                writer.file(name, content, mode & 0o7777)
    return out


def left_in(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("source", ["disk.img", "root.squashfs", "."])
def test_a_root(images: Images, tmp_path: Path, source: str) -> None:
    target = tmp_path / "deep" / "root"
    unpack_root(root_region(open_image(images.folder / source)), target)
    assert (target / "usr/bin/hello").read_text() == "h" * 1000
    assert (target / "usr/bin/hello").stat().st_mode & 0o777 == 0o755
    assert (target / "bin").readlink() == Path("usr/bin")
    assert left_in(target.parent) == ["root"]


@pytest.mark.parametrize("source", ["disk.img", "boot.vfat", "initrd"])
def test_an_initrd(images: Images, tmp_path: Path, source: str) -> None:
    unpack_initrd(open_image(images.folder / source), tmp_path / "initrd")
    assert (tmp_path / "initrd/init").read_bytes().startswith(b"#!/bin/sh")
    assert (tmp_path / "initrd/init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "initrd/lib/modules/6.12.1-test/overlay.ko").read_bytes() == b"module"


def test_an_empty_folder_is_fine_a_used_one_is_not(images: Images, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    unpack_root(root_region(open_image(images.root)), tmp_path / "empty")
    with pytest.raises(UsageError, match="not empty"):
        unpack_root(root_region(open_image(images.root)), tmp_path / "empty")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="in the way"):
            unpack_initrd(open_image(images.disk), tmp_path / name)
    assert left_in(tmp_path) == ["empty", "file", "link"]


def test_an_empty_slot_has_no_root(images: Images) -> None:
    with pytest.raises(ImageError, match="slot b holds no system"):
        root_region(open_image(images.disk), "b")
    with pytest.raises(UsageError, match="there are a and b"):
        root_region(open_image(images.disk), "c")


def test_the_wrong_kind_of_image(images: Images, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no root"):
        root_region(open_image(images.boot))
    with pytest.raises(ImageError, match="has no boot partition"):
        unpack_initrd(open_image(images.root), tmp_path / "initrd")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_damaged_root_leaves_nothing(images: Images, tmp_path: Path, share: float) -> None:
    data = bytearray(images.root.read_bytes())
    used = len(data.rstrip(b"\0"))
    at = max(96, int(used * share))
    data[at : at + 40] = os.urandom(min(40, used - at))
    copy = tmp_path / "root.squashfs"
    copy.write_bytes(data)
    try:
        unpack_root(root_region(open_image(copy)), tmp_path / "root")
    except ImageError:
        assert left_in(tmp_path) == ["root.squashfs"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a", stat.S_IFLNK, b"/tmp"), ("a/evil", stat.S_IFREG | 0o644, b"x")], "through a link"),
        ([("a", stat.S_IFLNK, b".."), ("a/b/evil", stat.S_IFREG | 0o644, b"x")], "through a link"),
        ([("a", stat.S_IFREG | 0o644, b"x"), ("a/evil", stat.S_IFREG | 0o644, b"x")], "through a link"),
        ([("../evil", stat.S_IFREG | 0o644, b"x")], "not a safe name"),
        ([("/evil", stat.S_IFREG | 0o644, b"x")], "not a safe name"),
        ([("a/../../evil", stat.S_IFREG | 0o644, b"x")], "not a safe name"),
    ],
)
def test_a_malicious_archive_writes_nothing(
    tmp_path: Path, members: list[tuple[str, int, bytes]], message: str
) -> None:
    source = archive(tmp_path, members)
    with pytest.raises(ImageError, match=message):
        unpack_initrd(open_image(source), tmp_path / "target")
    assert left_in(tmp_path) == ["initrd.cpio"]


def test_the_last_of_several_members_with_one_name_counts(tmp_path: Path) -> None:
    members = [
        ("closed", stat.S_IFDIR | 0o500, b""),
        ("closed/file", stat.S_IFREG | 0o600, b"first"),
        ("closed/file", stat.S_IFREG | 0o640, b"second"),
        ("link", stat.S_IFLNK, b"closed/file"),
        ("link", stat.S_IFREG | 0o644, b"a file now"),
    ]
    unpack_initrd(open_image(archive(tmp_path, members)), tmp_path / "target")
    assert (tmp_path / "target/closed/file").read_bytes() == b"second"
    assert (tmp_path / "target/closed").stat().st_mode & 0o777 == 0o500
    assert (tmp_path / "target/link").read_bytes() == b"a file now"
    assert not (tmp_path / "target/link").is_symlink()


def test_a_cut_archive_leaves_nothing(images: Images, tmp_path: Path) -> None:
    data = (images.folder / "initrd").read_bytes()
    copy = tmp_path / "initrd"
    copy.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError):
        unpack_initrd(open_image(copy), tmp_path / "target")
    assert left_in(tmp_path) == ["initrd"]


def test_an_ordinary_user_can_unpack_and_owns_everything(images: Images, open_folder: Path) -> None:
    disk = open_folder / "disk.img"
    disk.write_bytes(images.disk.read_bytes())
    disk.chmod(0o644)
    command: list[str | Path] = [sys.executable, "-c", "from ovenbird.cli.app import main; main()", "extract", disk]
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
    target = open_folder / "root"
    done = subprocess.run(
        [*command, "--root", target, "--initrd", open_folder / "initrd"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "not kept" in done.stderr
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert {path.lstat().st_uid for path in target.rglob("*")} == {owner}
    assert (open_folder / "initrd" / "init").exists()
