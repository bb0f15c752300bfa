"""Opening an image: what it is, where its parts are, and which of its slots counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import ImageError, UsageError
from ovenbird.image.reading import fat
from ovenbird.image.reading.region import Content, Region, foreign, recognise
from ovenbird_device.format import FormatError, autoboot, gpt, mbr, selector
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import Slot, State
from ovenbird_device.slots.kind import AUTOBOOT, GRUB, Kind

IN_FOLDER = ("disk.img", "root.squashfs", "boot.vfat", "initrd")
"""What stands for a folder of outputs: the first of these that is there."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of either kind of table; `offset` and `size` in bytes, `identity` is its PARTUUID."""

    number: int
    name: str
    offset: int
    size: int
    identity: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An image. A disk has partitions, and their regions by name; other kinds are one region."""

    path: Path
    content: Content
    region: Region
    partitions: tuple[Partition, ...] = ()
    kind: Kind | None = None
    """How a disk is laid out; None for other kinds of images."""
    identity: str = ""
    """A disk's own."""
    problem: str = ""
    """Why the primary partition table could not be used; empty if it could."""

    def partition(self, name: str) -> Region | None:
        """The region of a partition, None if there is no such partition or its file is cut off before it."""
        for one in self.partitions:
            if one.name == name and one.offset + one.size <= self.region.size:
                return Region(self.region.path, one.offset, one.size)
        return None


def open_image(path: Path) -> Opened:
    """Open a disk, a root, a boot partition, an initrd, or a folder that holds one of them.

    Raises UsageError for a path without an image, ImageError for a foreign or damaged one.
    """
    region = Region.whole(_in_folder(path))
    content = recognise(region)
    if content is Content.DISK:
        return _open_disk(path, region)
    if content in (Content.EMPTY, Content.UNKNOWN, Content.EXT):
        raise foreign(region)
    return Opened(path, content, region)


def _open_disk(path: Path, region: Region) -> Opened:
    sectors = region.size // SECTOR
    problem = ""
    try:
        if mbr.is_mbr(region.read(0, SECTOR)):
            card = mbr.read(region.read, sectors)
            kind, identity = AUTOBOOT, f"{card.signature:08x}"
            names = {number: name for name, number in kind.numbers.items()}
            found = tuple(
                Partition(one.number, names.get(one.number, ""), one.offset, one.size, mbr.partuuid(card, one.number))
                for one in card.partitions
            )
        else:
            table = gpt.read(region.read, sectors)
            kind, identity, problem = GRUB, str(table.table.disk), table.problem
            found = tuple(
                Partition(one.number, one.name, one.offset, one.size, str(one.uuid)) for one in table.table.partitions
            )
    except FormatError as error:
        raise ImageError(f"the partition table is damaged: {error}", where=str(region.path)) from error
    end = max((one.offset + one.size for one in found), default=0)
    if end > region.size:
        raise ImageError(
            f"the disk is cut off: its partitions need {end} bytes, there are {region.size}", where=str(region.path)
        )
    return Opened(path, Content.DISK, region, found, kind, identity, problem)


def _in_folder(path: Path) -> Path:
    if not path.is_dir():
        return path
    for folder in (path, path / "out"):
        for name in IN_FOLDER:
            if (folder / name).is_file():
                return folder / name
    raise UsageError(
        "the folder has no image in it", where=str(path), hint="`ovenbird build` makes one; give its folder or disk.img"
    )


def selector_state(opened: Opened) -> tuple[State | None, tuple[str, ...]]:
    """What the selector of a disk says (None if there is no selector), and the copies that cannot be read or differ."""
    region = opened.partition("select")
    if region is None or recognise(region) is not Content.FAT:
        return None, ()
    there = set(fat.names(region))
    if opened.kind is AUTOBOOT:
        found = autoboot.decode(fat.read(region, autoboot.NAME) if autoboot.NAME in there else b"")
        return found.state, (autoboot.NAME,) if found.stale else ()
    copies = [fat.read(region, name) if name in there else b"" for name in selector.COPIES]
    decoded = selector.decode((copies[0], copies[1]))
    return decoded.state, tuple(selector.COPIES[index] for index in decoded.stale)


def chosen_slot(opened: Opened, wanted: str | None = None) -> Slot:
    """The slot that is asked for, else the active one. UsageError for a slot that there is not."""
    if wanted is not None:
        try:
            return Slot(wanted)
        except ValueError as error:
            raise UsageError(f'there is no slot "{wanted}": there are a and b') from error
    state, _ = selector_state(opened)
    return state.active if state else Slot.A


def root_region(opened: Opened, slot: str | None = None) -> Region:
    """The root of an image: of a disk, that of a slot. ImageError if it has none."""
    if opened.content is Content.SQUASHFS:
        return opened.region
    if opened.content is Content.DISK:
        return _of_slot(opened, "root", chosen_slot(opened, slot), Content.SQUASHFS)
    raise ImageError(f"this is a {opened.content} image and has no root", where=str(opened.path))


def boot_region(opened: Opened, slot: str | None = None) -> Region:
    """The boot partition of an image: of a disk, that of a slot. ImageError if it has none."""
    if opened.content is Content.FAT:
        return opened.region
    if opened.content is Content.DISK:
        return _of_slot(opened, "boot", chosen_slot(opened, slot), Content.FAT)
    raise ImageError(f"this is a {opened.content} image and has no boot partition", where=str(opened.path))


def _of_slot(opened: Opened, kind: str, slot: Slot, content: Content) -> Region:
    region = opened.partition(f"{kind}-{slot}")
    if region is None:
        raise ImageError(f"the disk has no partition {kind}-{slot}", where=str(opened.path))
    if recognise(region) is not content:
        raise ImageError(f"slot {slot} holds no system: {kind}-{slot} is no {content}", where=str(opened.path))
    return region
