"""`inspect`: a disk, its parts, and what is wrong with them."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import msgspec
import pytest

from ovenbird.errors import ImageError, UsageError
from ovenbird.image.reading.contents import inspect
from ovenbird.image.reading.disk import open_image
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import Slot, State

from .images import MIB, SIZES, Images, build, disk


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """One build."""
    return build(tmp_path_factory.mktemp("read") / "out")


def test_a_root(images: Images) -> None:
    root = inspect(images.root).root
    assert root is not None
    assert root.image is not None
    assert (root.image.name, root.image.version, root.system) == ("hello", "1.0", "Test 1")
    assert root.size == images.root.stat().st_size
    assert root.compression == "zstd"
    assert [(one.name, one.version) for one in root.packages] == [("base-files", "13.8"), ("hello", "2.10")]


def test_a_package_takes_what_its_files_take(images: Images) -> None:
    root = inspect(images.root).root
    assert root is not None
    assert {one.name: one.size for one in root.packages} == {"base-files": 21, "hello": 1060}
    assert {one.name: one.size for one in root.folders}["/usr/bin"] == 1000


def test_a_disk(images: Images) -> None:
    contents = inspect(images.disk)
    assert {one.name: one.size // MIB for one in contents.partitions} == SIZES
    kinds = {one.name: one.content for one in contents.partitions}
    assert (kinds["select"], kinds["boot-a"], kinds["root-a"], kinds["root-b"]) == ("FAT", "FAT", "squashfs", "empty")
    first, second = contents.slots
    assert (first.state, first.intact, second.state, second.intact) == ("active", True, "empty", None)
    assert first.boot is not None
    assert first.boot.kernel == "6.12.1-test"
    assert first.boot.cmdline.startswith("quiet ovenbird.hash=sha256:")
    assert {one.name for one in first.boot.files} == {"vmlinuz", "initrd", "slot.cfg", "cmdline.txt"}


def test_a_folder_of_outputs_and_the_folder_above(images: Images) -> None:
    assert inspect(images.folder).kind == "disk"
    assert open_image(images.folder.parent).region.path == images.disk


def test_the_single_files(images: Images) -> None:
    boot, initrd = inspect(images.boot).boot, inspect(images.folder / "initrd").initrd
    assert boot is not None
    assert initrd is not None
    assert boot.kernel == initrd.kernel == inspect(images.folder / "kernel").kernel == "6.12.1-test"
    assert initrd.modules == ("overlay",)
    assert initrd.compression == "zstd"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State().arm(Slot.B, 2), ["active", "on trial, 2 tries left"]),
        (State().arm(Slot.B).rollback(), ["active", "failed"]),
        (State().arm(Slot.B).commit(Slot.B), ["kept", "active"]),
    ],
)
def test_the_states_of_slots(images: Images, tmp_path: Path, state: State, expected: list[str]) -> None:
    parts = {f"{kind}-{slot}": image for kind, image in (("boot", images.boot), ("root", images.root)) for slot in "ab"}
    contents = inspect(disk(tmp_path / "disk.img", parts, state))
    assert [slot.state for slot in contents.slots] == expected
    assert contents.selector is not None
    assert contents.selector.damaged == ()


def test_a_damaged_root_is_told(images: Images, tmp_path: Path) -> None:
    found = inspect(images.disk)
    offset = next(one.offset for one in found.partitions if one.name == "root-a")
    copy = tmp_path / "disk.img"
    data = bytearray(images.disk.read_bytes())
    data[offset + 8] ^= 1  # The time in the superblock: all else still reads well.
    copy.write_bytes(data)
    assert inspect(copy).slots[0].intact is False


def test_a_damaged_selector_copy_is_told(images: Images, tmp_path: Path) -> None:
    copy = tmp_path / "disk.img"
    data = images.disk.read_bytes()
    at = data.index(b"# GRUB Environment Block")
    copy.write_bytes(data[:at] + b"?" + data[at + 1 :])
    selector = inspect(copy).selector
    assert selector is not None
    assert len(selector.damaged) == 1
    assert selector.active == "a"


def test_a_lost_primary_table_is_told(images: Images, tmp_path: Path) -> None:
    copy = tmp_path / "disk.img"
    data = bytearray(images.disk.read_bytes())
    data[SECTOR + 40] ^= 1
    copy.write_bytes(data)
    contents = inspect(copy)
    assert "checksum" in contents.problem
    assert contents.partitions == inspect(images.disk).partitions


def test_json_has_everything(images: Images) -> None:
    data = msgspec.json.decode(msgspec.json.encode(inspect(images.disk)))
    assert data["slots"][0]["root"]["image"]["name"] == "hello"
    assert data["selector"]["active"] == "a"


@pytest.mark.parametrize("keep", [0, 1, 511, 512, 1024, MIB, 3 * MIB, 20 * MIB])
def test_a_cut_disk_is_one_clear_error(images: Images, tmp_path: Path, keep: int) -> None:
    copy = tmp_path / "disk.img"
    copy.write_bytes(images.disk.read_bytes()[:keep])
    with pytest.raises(ImageError) as error:
        inspect(copy)
    assert str(copy) in str(error.value)


@pytest.mark.parametrize("name", ["root.squashfs", "boot.vfat", "initrd"])
def test_other_cut_files_are_errors_or_tell_less(images: Images, tmp_path: Path, name: str) -> None:
    data = (images.folder / name).read_bytes()
    copy = tmp_path / name
    for share in (0.001, 0.1, 0.5, 0.7):
        copy.write_bytes(data[: int(len(data) * share)])
        with contextlib.suppress(ImageError):  # A FAT or a kernel may be whole in what is left.
            assert inspect(copy).path == str(copy)


def test_foreign_files(tmp_path: Path) -> None:
    for name, content, message in (
        ("text", b"hello", "none of the images"),
        ("empty", b"", "the file is empty"),
        ("zeros", bytes(MIB), "none of the images"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=message):
            inspect(tmp_path / name)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "x.qcow2", "1M"], check=True)
    with pytest.raises(ImageError, match="qcow2") as error:
        inspect(tmp_path / "x.qcow2")
    assert error.value.hint is not None
    assert error.value.hint.startswith("qemu-img convert")


def test_no_image_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        inspect(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no image in it"):
        inspect(tmp_path)
