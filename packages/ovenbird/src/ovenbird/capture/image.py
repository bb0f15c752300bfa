"""Which source reads a disk image: a disk of Ovenbird's, any other disk with an ext4 root, or a file system alone.

Nothing is mounted. The partitions of a foreign disk are told by sfdisk(8), what is in each by its first bytes, and the
root among them by what every root has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ovenbird.capture.ext4 import Ext4
from ovenbird.capture.slots import Slots, Squashed
from ovenbird.capture.tree import Source
from ovenbird.errors import ImageError, UsageError
from ovenbird.image.reading.disk import open_image
from ovenbird.image.reading.region import Content, Region, foreign, recognise
from ovenbird.run import run

ROOTS: Final = ("/sbin/init", "/usr/sbin/init", "/usr/lib/systemd/systemd", "/init", "/linuxrc")
"""What makes a file system a root: a program to begin with."""
# First bytes of what a root may be kept in but cannot be read out of: place, bytes, what people call it.
FOREIGN: Final = (
    (0, b"LUKS\xba\xbe", "encrypted (LUKS)"),
    (536, b"LVM2 001", "LVM volumes"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0, b"XFSB", "xfs"),
    (1024, b"\x10\x20\xf5\xf2", "f2fs"),
    (4086, b"SWAPSPACE2", "swap"),
    (3, b"NTFS", "NTFS"),
    (3, b"-FVE-FS-", "encrypted (BitLocker)"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A partition; `offset` and `size` in bytes."""

    number: int
    region: Region

    @property
    def content(self) -> str:
        """What is in it, for people."""
        for place, magic, name in FOREIGN:
            if self.region.read(place, len(magic)) == magic:
                return name
        return str(recognise(self.region))


def open_disk(path: Path, scratch: Path, *, slot: str | None = None, partition: int | None = None) -> Source:
    """The source that reads an image. Raises UsageError, ImageError, which say what was found instead of a root."""
    region = Region.whole(path) if not path.is_dir() else None
    content = recognise(region) if region else Content.DISK
    if region is None or (content is Content.DISK and _is_ours(path)):
        return Slots.at(open_image(path), scratch, slot)
    if slot is not None:
        raise UsageError("has no slots: it is no disk of Ovenbird's", where=str(path), hint="leave out --slot")
    if content is Content.SQUASHFS:
        return Squashed(region, scratch)
    whole = Part(0, region)
    if content is Content.EXT:
        return _root_of(path, [whole], scratch, None)
    if content is not Content.DISK:
        if any(whole.content == name for _, _, name in FOREIGN):
            raise _without_root(path, [whole])
        raise foreign(region)
    return _root_of(path, _partitions(region), scratch, partition)


def _is_ours(path: Path) -> bool:
    try:
        return {"root-a", "root-b"} <= {one.name for one in open_image(path).partitions}
    except ImageError:
        return False


def _partitions(region: Region) -> list[Part]:
    done = run(["sfdisk", "--json", region.path], check=False)
    try:
        table = json.loads(done.stdout)["partitiontable"]
    except (ValueError, KeyError) as error:
        said = (done.stderr.strip().splitlines() or ["it is empty"])[-1]
        raise ImageError(f"the partition table cannot be read: {said}", where=str(region.path)) from error
    sector = int(table.get("sectorsize", 512))
    parts: list[Part] = []
    for one in table.get("partitions", ()):
        number = int(str(one["node"]).removeprefix(str(region.path)).lstrip("p") or 0)
        start, size = int(one["start"]) * sector, int(one["size"]) * sector
        if start + size > region.size:
            raise ImageError(f"the disk is cut off: partition {number} is not all there", where=str(region.path))
        parts.append(Part(number, region.part(start, size)))
    return parts


def _root_of(path: Path, parts: Sequence[Part], scratch: Path, partition: int | None) -> Source:
    if partition is not None:
        parts = [part for part in parts if part.number == partition]
        if not parts:
            raise UsageError(f"there is no partition {partition}", where=str(path))
    found: list[tuple[Part, Ext4]] = []
    for part in parts:
        if recognise(part.region) is Content.EXT:
            folder = scratch / f"part-{part.number}"
            folder.mkdir()
            system = Ext4.at(part.region, folder)
            if system.has(*ROOTS):
                found.append((part, system))
    if not found:
        raise _without_root(path, parts)
    if len(found) > 1:
        numbers = [str(part.number) for part, _ in found]
        raise UsageError(
            f"has more than one root: partitions {', '.join(numbers)}",
            where=str(path),
            hint=f"name the one that is meant: --partition {numbers[0]}",
        )
    return found[0][1]


def _without_root(path: Path, parts: Sequence[Part]) -> ImageError:
    contents = [(part, part.content) for part in parts]
    listed = ", ".join(f"{part.number} {content}" if part.number else content for part, content in contents)
    by_ssh = "capture it while it runs: ovenbird capture USER@HOST"
    for part, content in contents:
        if content.startswith("encrypted"):
            name = f"partition {part.number}" if part.number else "it"
            return ImageError(f"{name} is {content}, and nothing else has a root", where=str(path), hint=by_ssh)
    others = any(content in ("LVM volumes", "btrfs", "xfs", "f2fs") for _, content in contents)
    return ImageError(
        f"has no root that can be read (ext4 or squashfs with an init in it): {listed or 'no partitions'}",
        where=str(path),
        hint=by_ssh if others else None,
    )
