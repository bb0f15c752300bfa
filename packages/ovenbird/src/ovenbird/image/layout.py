"""Where everything lies on the disk of a PC or virtual machine, and on the card of a Raspberry Pi.

The numbers of the partitions are part of the contract (`docs/CONTRACT.md`): `grub.cfg`, which is never rewritten on a
device, finds them by number. A disk without rescue leaves number 7 out. Every identifier derives from the content, so
equal content gives equal bytes; a device takes random ones at its first boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from ovenbird.errors import ImageError
from ovenbird_device.format import gpt, mbr
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.slots import kind

MIB = 1 << 20
SELECT_SIZE = 64 * MIB
"""A FAT32 of this size has clusters of one sector, which is what the pickiest firmware likes best."""
NUMBERS = {"bios": 1, **kind.GRUB.numbers}
TYPES = {
    "bios": UUID("21686148-6449-6E6F-744E-656564454649"),
    "select": UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
}
LINUX = UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
NO_AUTO = 1 << 63
"""Attribute: no system may mount the partition by itself (the Discoverable Partitions Specification)."""
_NAMESPACE = UUID("3b0f1f0a-6d0e-5c0e-9b57-0b1d5e0c7a11")


def identifier(digest: str, name: str) -> UUID:
    """The identifier of the thing called `name` in an image whose content has this digest."""
    return uuid5(_NAMESPACE, f"{digest}/{name}")


CARD_SELECT_SIZE = 16 * MIB
"""Of a Pi's `select`, a FAT16: small, but far from the smallest ones, with which some firmware had its troubles."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A disk's table and its size in bytes."""

    table: gpt.Table

    @property
    def size(self) -> int:
        """Length of the disk in bytes."""
        return self.table.sectors * SECTOR

    def partition(self, name: str) -> gpt.Partition:
        """The partition of that name."""
        return self.table.named(name)


def plan(*, select: int, boot: int, root: int, data: int, digest: str, rescue: int = 0) -> Layout:
    """Lay out a disk. Sizes in bytes, each rounded up to a MiB; `digest` stands for the content, for the identifiers.

    Raises ImageError for a size that cannot be.
    """
    sizes = {
        "bios": MIB,
        "select": select,
        "boot-a": boot,
        "root-a": root,
        "boot-b": boot,
        "root-b": root,
        "rescue": rescue,
        "data": data,
    }
    partitions: list[gpt.Partition] = []
    place = MIB
    for name, size in sizes.items():
        if name == "rescue" and not size:
            continue
        if size <= 0:
            raise ImageError(f"the partition {name} must have a size")
        rounded = -(-size // MIB) * MIB
        partitions.append(
            gpt.Partition(
                number=NUMBERS[name],
                name=name,
                type=TYPES.get(name, LINUX),
                uuid=identifier(digest, name),
                first=place // SECTOR,
                last=(place + rounded) // SECTOR - 1,
                attributes=0 if name == "bios" else NO_AUTO,
            )
        )
        place += rounded
    table = gpt.Table(identifier(digest, "disk"), tuple(partitions), (place + MIB) // SECTOR)
    gpt.check(table)
    return Layout(table)


@dataclass(frozen=True, slots=True)
class CardLayout:
    """The table of a Pi's card."""

    table: mbr.Table

    @property
    def size(self) -> int:
        """Length of the card's image in bytes."""
        return self.table.sectors * SECTOR

    def partition(self, name: str) -> mbr.Partition:
        """The partition of that name."""
        return self.table.numbered(kind.AUTOBOOT.numbers[name])


def plan_card(*, select: int, boot: int, root: int, data: int, digest: str) -> CardLayout:
    """Lay out a Pi's card, as `plan` does for a disk. Each logical partition begins a MiB behind its link."""
    numbers = kind.AUTOBOOT.numbers
    sizes = {"select": select, "boot-a": boot, "boot-b": boot, "root-a": root, "root-b": root, "data": data}
    per_mib = MIB // SECTOR
    partitions: list[mbr.Partition] = []
    place = per_mib
    for name, size in sizes.items():
        if size <= 0:
            raise ImageError(f"the partition {name} must have a size")
        link = 0
        if numbers[name] > mbr.PRIMARY:
            link, place = place, place + per_mib
        end = place + -(-size // MIB) * per_mib
        fat = name == "select" or name.startswith("boot")
        partitions.append(mbr.Partition(numbers[name], mbr.FAT16 if fat else mbr.LINUX, place, end - 1, link))
        place = end
    first = next(one.link for one in partitions if one.number > mbr.PRIMARY)
    partitions.append(mbr.Partition(mbr.PRIMARY, mbr.EXTENDED, first, place - 1))
    partitions.sort(key=lambda one: one.number)
    signature = (identifier(digest, "disk").int & 0xFFFFFFFF & ~mbr.OWN) or 1
    table = mbr.Table(signature, tuple(partitions), place)
    mbr.check(table)
    return CardLayout(table)
