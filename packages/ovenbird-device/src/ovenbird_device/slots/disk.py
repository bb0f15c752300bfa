"""The disk that this system was booted from, and its partitions.

Found by what the initrd noted (`/run/ovenbird/boot`: the device of the root) and by the *numbers* of the partitions on
that same disk, as GRUB does. Labels and identifiers are not searched for: a second disk, written from the same image
and not booted yet, has the same ones. Sources: sysfs (Documentation/ABI/stable/sysfs-block), docs/CONTRACT.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..facts import hardware, parse
from ..format import FormatError, gpt, mbr
from ..format.sectors import SECTOR
from ..format.selector import Slot
from ..update.blocks import Blocks, Medium
from .kind import AUTOBOOT, GRUB, KINDS, Kind

NEEDED = ("select", "boot-a", "root-a", "boot-b", "root-b")
NOTE = Path("/run/ovenbird/boot")


class SlotsError(Exception):
    """The slots cannot be used as asked; the message is for people. Nothing was changed."""


class NoSlotsError(SlotsError):
    """This machine runs from the network: it has no slots at all."""


class Place(msgspec.Struct, frozen=True):
    """Where a partition is: a device or an image file, with the start and size in it in bytes."""

    path: Path
    offset: int
    size: int

    def open(self, *, writable: bool = False, alone: bool = False) -> Blocks:
        """Open it; see `Medium`."""
        return Medium(self.path, self.offset, self.size, writable=writable, alone=alone)


class Disk(msgspec.Struct, frozen=True):
    """The boot disk: its partitions by name, and which slot the running system is from (None: rescue, or not known)."""

    places: Mapping[str, Place]
    running: Slot | None
    running_hash: str = ""
    trial: bool = False
    kind: Kind = GRUB
    diskless: bool = False
    """There is no such disk: what runs came from the network."""

    def place(self, name: str) -> Place:
        """The partition of that name (`boot-a`, …). SlotsError if the disk has none."""
        try:
            return self.places[name]
        except KeyError:
            raise SlotsError(f"this disk has no partition {name}") from None


class Note(msgspec.Struct, frozen=True):
    """What the initrd noted about this boot, as far as the slots are concerned."""

    slot: str = ""
    root_device: str = ""
    hash: str = ""
    trial: bool = False
    selector: str = GRUB.name
    server: str = ""
    """The URL of the root; empty where it is on a disk."""

    @property
    def kind(self) -> Kind:
        """The selector that chose this boot. SlotsError for one that this program does not know."""
        try:
            return KINDS[self.selector]
        except KeyError:
            raise SlotsError(f"this system was booted by a selector of an unknown kind ({self.selector})") from None


def read_note(path: Path) -> Note:
    """The note; SlotsError on a machine that Ovenbird's initrd did not boot."""
    values = parse.key_values(hardware.text(path))
    if not values.get("slot"):
        raise SlotsError("this system was not booted from a slot, so it cannot be updated")
    return Note(
        slot=values["slot"],
        root_device=values.get("root_device", ""),
        hash=values.get("hash", ""),
        trial=values.get("trial") == "1",
        selector=values.get("selector") or GRUB.name,
        server=values.get("root", "") if values.get("network") == "1" else "",
    )


def locate(note: Note, system: Path = Path("/sys"), devices: Path = Path("/dev")) -> Disk:
    """The disk of the running system. SlotsError says what is missing or odd."""
    if note.server:
        raise NoSlotsError(
            f"this machine was booted from the network and has no slots: its system comes from {note.server[:200]}, "
            "and a new one with the next restart"
        )
    root = note.root_device.removeprefix("/dev/").replace("/", "!")
    folder = (system / "class/block" / root).resolve() if root else system / "none"
    number = _integer(folder / "partition")
    if number is None:
        raise SlotsError(f"the root of this system ({note.root_device or 'unknown'}) is not on a partition of a disk")
    kind = note.kind
    expected = kind.numbers.get("rescue" if note.slot == "rescue" else f"root-{note.slot}")
    if number != expected:
        raise SlotsError(f"slot {note.slot} runs from partition {number}, but belongs on {expected}")
    disk = folder.parent
    if (_integer(disk / "queue/logical_block_size") or 512) != 512:
        raise SlotsError(f"{disk.name} has sectors of another size than 512 bytes")
    found: dict[str, Place] = {}
    names = {number: name for name, number in kind.numbers.items()}
    for part in sorted(disk.glob("*/partition")):
        name = names.get(_integer(part) or 0)
        size = _integer(part.parent / "size")
        if name is None or size is None:
            continue
        called = parse.key_values(hardware.text(part.parent / "uevent")).get("PARTNAME", name)
        if kind.named and called != name:
            raise SlotsError(f"partition {kind.numbers[name]} of {disk.name} is called {called!r} instead of {name!r}")
        found[name] = Place(devices / part.parent.name.replace("!", "/"), 0, size * SECTOR)
    return _whole(Disk(found, _slot(note), note.hash, note.trial, kind), disk.name)


def in_image(path: Path, note: Note) -> Disk:
    """The same for a disk image in a file. SlotsError or OSError if it is none."""
    sectors = path.stat().st_size // SECTOR
    with path.open("rb") as image:

        def read(offset: int, size: int) -> bytes:
            return os.pread(image.fileno(), size, offset)

        try:
            kind = AUTOBOOT if mbr.is_mbr(read(0, SECTOR)) else GRUB
            found = mbr.read(read, sectors) if kind is AUTOBOOT else gpt.read(read, sectors).table
        except FormatError as error:
            raise SlotsError(f"{path.name} is no disk: {error}") from error
    names = {number: name for name, number in kind.numbers.items()}
    parts = {names[one.number]: one for one in found.partitions if one.number in names}
    places = {name: Place(path, one.offset, one.size) for name, one in parts.items()}
    return _whole(Disk(places, _slot(note), note.hash, note.trial, kind), path.name)


def _whole(disk: Disk, name: str) -> Disk:
    if missing := [part for part in NEEDED if part not in disk.places]:
        raise SlotsError(f"{name} has no partition {missing[0]}, so it has no two slots")
    return disk


def _slot(note: Note) -> Slot | None:
    try:
        return Slot(note.slot)
    except ValueError:
        return None


def _integer(path: Path) -> int | None:
    text = hardware.text(path)
    return int(text) if text.isascii() and text.isdigit() else None
