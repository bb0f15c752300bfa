"""The whole disk image, sparse: partition table, GRUB's code, and the partitions' contents, written without root.

Only what matters is written; the rest are holes. The image comes with a map of what matters (`DiskMap`), so that a
writer of cards (`bmaptool`, `ovenbird flash`) can leave the rest out. Zeros that matter (a journal, a file system's
tables, the first bytes of the empty slot, which must not look like a system that was on the card before) are in the
map.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import ImageError
from ovenbird.files import copy_into
from ovenbird.image.grub import BiosCode
from ovenbird.image.layout import MIB, CardLayout, Layout, identifier
from ovenbird.run import run
from ovenbird_device.format import fat, gpt, mbr
from ovenbird_device.format.sectors import SECTOR, Write

BLOCK = 4096
JOURNAL_MIB = 8
GROWS_TO = 2 << 40
"""Room for growth that the file system of `data` plans for, in bytes; beyond it the kernel still grows it, another
way.
"""
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)


@dataclass(frozen=True, slots=True)
class DiskMap:
    """A disk image and the blocks of 4096 bytes in it that matter: (first, last) pairs, sorted, apart from each
    other.
    """

    image: Path
    size: int
    ranges: tuple[tuple[int, int], ...]


def write_data(out: Path, *, size: int, digest: str, epoch: int) -> list[fat.Extent]:
    """Write an empty ext4 of `size` bytes and return what of it matters. The same arguments give the same bytes."""
    out.unlink(missing_ok=True)
    with out.open("wb") as image:
        image.truncate(size)
    number = str(identifier(digest, "data file system"))
    hashes = identifier(digest, "data hash seed")
    prepared = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"
    options = f"hash_seed={hashes},{prepared},resize={GROWS_TO // BLOCK}"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        # The host's own defaults would let two hosts make two kinds of file systems.
        config.write("[defaults]\n\tbase_features = sparse_super\n\tinode_size = 256\n")
        config.flush()
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", FEATURES, "-b", str(BLOCK), "-I", "256", "-i", "16384"]
        command += ["-m", "1", "-J", f"size={JOURNAL_MIB}", "-L", "data", "-U", number, "-E", options, str(out)]
        times = {"E2FSPROGS_FAKE_TIME": str(max(epoch, 1)), "SOURCE_DATE_EPOCH": str(max(epoch, 1))}
        run(command, env={**times, "MKE2FS_CONFIG": config.name}, what="making the file system of data")
    return used_blocks(out, size)


def used_blocks(file: Path, size: int) -> list[fat.Extent]:
    """All blocks that the block bitmaps call used: tables and journal among them, which must be zero where they are."""
    text = run(["dumpe2fs", file], what="reading the file system of data").stdout
    free: list[tuple[int, int]] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"  Free blocks: (.+)", line):
            for part in match.group(1).split(", "):
                first, _, last = part.partition("-")
                free.append((int(first), int(last or first)))
    if not free:
        raise ImageError("the file system of data has no free blocks", where=str(file))
    used: list[fat.Extent] = []
    place = 0
    for first, last in [*sorted(free), (size // BLOCK, 0)]:
        if first > place:
            used.append(fat.Extent(place * BLOCK, (first - place) * BLOCK))
        place = last + 1
    return used


def write_disk(
    out: Path,
    *,
    layout: Layout | CardLayout,
    select: Path,
    bios: BiosCode | None = None,
    boot: Path,
    root: Path,
    digest: str,
    epoch: int,
    rescue: Path | None = None,
) -> DiskMap:
    """Write the disk image with slot a filled and slot b empty.

    `select`, `boot` and `rescue` are FAT images, `root` the squashfs; `digest` stands for the content. Without `bios`
    a PC's disk boots by UEFI alone, and the partition of that name is empty; a card has no such thing.
    Raises ImageError if a part is larger than its partition.
    """
    out.unlink(missing_ok=True)
    ranges: list[fat.Extent] = []
    with out.open("wb") as disk, tempfile.TemporaryDirectory(prefix="ovenbird-disk-", dir=out.parent) as scratch:
        disk.truncate(layout.size)
        for write in _table(layout, bios):
            os.pwrite(disk.fileno(), write.data, write.offset)
            ranges.append(fat.Extent(write.offset, len(write.data)))
        data = Path(scratch) / "data"
        parts: list[tuple[str, Path, list[fat.Extent]]] = [
            ("select", select, _used_fat(select)),
            ("boot-a", boot, _used_fat(boot)),
            ("root-a", root, [fat.Extent(0, root.stat().st_size)]),
            ("data", data, write_data(data, size=layout.partition("data").size, digest=digest, epoch=epoch)),
        ]
        if rescue is not None:
            parts.append(("rescue", rescue, _used_fat(rescue)))
        for name, file, used in parts:
            partition = layout.partition(name)
            length = file.stat().st_size
            if length > partition.size:
                raise ImageError(f"{file.name} ({length} bytes) is larger than {name} ({partition.size} bytes)")
            copy_into(file, disk.fileno(), partition.offset)
            ranges += (fat.Extent(partition.offset + extent.offset, extent.size) for extent in used)
        ranges += (fat.Extent(layout.partition(name).offset, MIB) for name in ("boot-b", "root-b"))
    return DiskMap(out, layout.size, _blocks(ranges, layout.size))


def _table(layout: Layout | CardLayout, bios: BiosCode | None) -> tuple[Write, ...]:
    """The partition table, with GRUB's code for BIOS on a PC's disk."""
    if isinstance(layout, CardLayout):
        return mbr.writes(layout.table)
    code, core = bios.placed(layout.partition("bios").first) if bios else (bytes(440), bytes(SECTOR))
    return (
        Write(0, gpt.protective_mbr(code)),
        *gpt.primary(layout.table),
        Write(layout.partition("bios").offset, core),
        *gpt.backup(layout.table),
    )


def _used_fat(file: Path) -> list[fat.Extent]:
    with file.open("rb") as stream:
        return fat.Volume(lambda offset, size: os.pread(stream.fileno(), size, offset)).used()


def _blocks(extents: Iterable[fat.Extent], size: int) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for extent in sorted(extents, key=lambda one: one.offset):
        first = extent.offset // BLOCK
        last = min(-(-(extent.offset + extent.size) // BLOCK), -(-size // BLOCK)) - 1
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
