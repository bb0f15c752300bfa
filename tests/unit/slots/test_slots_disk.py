"""Finding the boot disk by the numbers of its partitions, in a tree that looks like sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.image import layout
from ovenbird_device.format.selector import Slot
from ovenbird_device.slots import disk
from ovenbird_device.slots.disk import Note, SlotsError
from ovenbird_device.slots.kind import GRUB

MIB = 1 << 20


def make(
    folder: Path, name: str = "vda", infix: str = "", *, leave_out: tuple[str, ...] = (), names: bool = True
) -> None:
    """What Linux says about a disk with our partitions."""
    real = folder / f"devices/pci0000:00/block/{name}"
    (real / "queue").mkdir(parents=True)
    (real / "queue/logical_block_size").write_text("512\n")
    links = folder / "class/block"
    links.mkdir(parents=True, exist_ok=True)
    (links / name).symlink_to(real)
    for called, number in GRUB.numbers.items():
        if called in leave_out:
            continue
        part = real / f"{name}{infix}{number}"
        part.mkdir()
        (part / "partition").write_text(f"{number}\n")
        (part / "size").write_text(f"{number * 2048}\n")
        (part / "uevent").write_text(f"DEVTYPE=partition\nPARTN={number}\n" + (f"PARTNAME={called}\n" if names else ""))
        (links / part.name).symlink_to(part)


def test_the_numbers_are_those_of_the_image() -> None:
    assert {**GRUB.numbers, "bios": 1} == layout.NUMBERS


@pytest.mark.parametrize(
    ("name", "infix"), [("vda", ""), ("sdb", ""), ("nvme0n1", "p"), ("mmcblk0", "p"), ("cciss!c0d0", "p")]
)
def test_a_disk_of_any_name(tmp_path: Path, name: str, infix: str) -> None:
    make(tmp_path, name, infix)
    make(tmp_path, "zzz")
    device = f"/dev/{name}{infix}4".replace("!", "/")
    found = disk.locate(Note("a", device, "sha256:0", trial=True), tmp_path, Path("/dev"))
    assert found.running is Slot.A
    assert found.trial
    assert {called: (str(one.path), one.size) for called, one in found.places.items()} == {
        called: (f"/dev/{name}{infix}{number}".replace("!", "/"), number * MIB)
        for called, number in GRUB.numbers.items()
    }


def test_slot_b_rescue_and_no_names(tmp_path: Path) -> None:
    make(tmp_path, leave_out=("rescue",), names=False)
    assert disk.locate(Note("b", "/dev/vda6"), tmp_path).running is Slot.B
    with pytest.raises(SlotsError, match="no partition rescue"):
        disk.locate(Note("b", "/dev/vda6"), tmp_path).place("rescue")
    make(tmp_path, "vdb")
    assert disk.locate(Note("rescue", "/dev/vdb7"), tmp_path).running is None


@pytest.mark.parametrize(
    ("note", "what"),
    [
        (Note("a", "/dev/vda6"), "runs from partition 6"),
        (Note("a", "/dev/vda"), "not on a partition"),
        (Note("a", "/dev/sdz4"), "not on a partition"),
        (Note("a", ""), "not on a partition"),
        (Note("c", "/dev/vda4"), "slot c"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, note: Note, what: str) -> None:
    make(tmp_path)
    with pytest.raises(SlotsError, match=what):
        disk.locate(note, tmp_path)


def test_a_disk_that_is_not_ours(tmp_path: Path) -> None:
    make(tmp_path, leave_out=("boot-b",))
    with pytest.raises(SlotsError, match="no partition boot-b"):
        disk.locate(Note("a", "/dev/vda4"), tmp_path)
    part = tmp_path / "class/block/vda6/uevent"
    part.write_text("PARTNAME=photos\n")
    with pytest.raises(SlotsError, match="called 'photos'"):
        disk.locate(Note("a", "/dev/vda4"), tmp_path)
    (tmp_path / "class/block/vda/queue/logical_block_size").write_text("4096\n")
    with pytest.raises(SlotsError, match="sectors of another size"):
        disk.locate(Note("a", "/dev/vda4"), tmp_path)


def test_the_note(tmp_path: Path) -> None:
    note = tmp_path / "boot"
    with pytest.raises(SlotsError, match="not booted from a slot"):
        disk.read_note(note)
    note.write_text("slot=b\nroot=PARTUUID=1\nroot_device=/dev/vda6\nhash=sha256:12\ntrial=1\ndata=ok\n")
    assert disk.read_note(note) == Note("b", "/dev/vda6", "sha256:12", trial=True)


def test_a_file_that_is_no_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(MIB))
    with pytest.raises(SlotsError, match="no disk"):
        disk.in_image(tmp_path / "disk", Note("a"))
