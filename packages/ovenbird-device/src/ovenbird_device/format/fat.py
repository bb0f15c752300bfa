"""Read FAT file systems (16 and 32) as far as a boot partition needs it: where a file's bytes lie, and what is in use.

Format: Microsoft, "FAT: General Overview of On-Disk Format", 1.03. The device uses it to rewrite the selector's copies
in place, sector by sector, without mounting a file system that GRUB depends on; the workstation uses it to look into
images and to know which sectors of a partition must be written to a card.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from ovenbird_device.format import FormatError
from ovenbird_device.format.sectors import SECTOR, ReadAt

_DIRECTORY = 0x10
_LABEL = 0x08
_LONG_NAME = 0x0F
_MOST_ENTRIES = 65536


class Extent(msgspec.Struct, frozen=True):
    """A run of bytes on the volume: `offset` from its start and `size`."""

    offset: int
    size: int


class File(msgspec.Struct, frozen=True):
    """A file or folder: its path without a leading slash, its size in bytes and where these bytes lie, in order."""

    path: str
    size: int
    extents: tuple[Extent, ...]
    is_folder: bool = False


class Volume:
    """A FAT volume behind a `read_at(offset, size)`. Every method raises FormatError on a damaged volume."""

    def __init__(self, read_at: ReadAt) -> None:
        """Read the boot sector and the first allocation table."""
        self._read_at = read_at
        boot = self._exactly(0, SECTOR)
        if boot[510:512] != b"\x55\xaa":
            raise FormatError("no boot sector of a FAT volume")
        (sector, per_cluster, reserved, tables, root_entries, small) = struct.unpack_from("<HBHBHH", boot, 11)
        (table_small, large, table_large) = struct.unpack_from("<22xH8xII", boot)[0:3]
        table = table_small or table_large
        if sector != SECTOR or per_cluster not in (1, 2, 4, 8, 16, 32, 64, 128) or not (reserved and tables and table):
            raise FormatError("the boot sector describes no FAT volume that can be read")
        self.cluster: int = per_cluster * SECTOR
        self.size: int = (small or large) * SECTOR
        self.root_offset: int = (reserved + tables * table) * SECTOR
        """Where the root directory of a FAT16 begins."""
        self.data_offset: int = self.root_offset + -(-root_entries * 32 // SECTOR) * SECTOR
        self.clusters: int = (self.size - self.data_offset) // self.cluster
        self.bits = 32 if not table_small else 16
        if self.clusters < 4085 or (self.clusters < 65525) != (self.bits == 16):
            raise FormatError("the number of clusters fits neither FAT16 nor FAT32")
        self._root_cluster = int.from_bytes(boot[44:48], "little") if self.bits == 32 else 0
        raw = self._exactly(reserved * SECTOR, table * SECTOR)
        count = self.clusters + 2
        if len(raw) < count * self.bits // 8:
            raise FormatError("the allocation table is too short")
        self._table: tuple[int, ...] = struct.unpack_from(f"<{count}{'I' if self.bits == 32 else 'H'}", raw)
        self.label = boot[71:82].decode("ascii", "replace").rstrip() if self.bits == 32 else _label16(boot)

    def _exactly(self, offset: int, size: int) -> bytes:
        try:
            data = self._read_at(offset, size)
        except OSError as error:
            raise FormatError(f"the volume cannot be read at {offset}: {error.strerror or error}") from error
        if len(data) != size:
            raise FormatError(f"the volume ends before {offset + size}")
        return data

    def used(self) -> list[Extent]:
        """Everything that must be written for the volume to be whole: its tables, and the clusters in use."""
        extents = [Extent(0, self.data_offset)]
        mask = 0x0FFFFFFF if self.bits == 32 else 0xFFFF
        for number, value in enumerate(self._table[2:], 2):
            if value & mask:
                _append(extents, Extent(self._place(number), self.cluster))
        return extents

    def files(self) -> Iterator[File]:
        """All files and folders, folders before what is in them."""
        pending = [("", self._root())]
        seen = 0
        while pending:
            path, content = pending.pop()
            for file, first in self._entries(path, content):
                seen += 1
                if seen > _MOST_ENTRIES:
                    raise FormatError("the volume has more files than a boot partition can have")
                yield file
                if file.is_folder and first >= 2:
                    pending.append((file.path + "/", self._content(file.extents)))

    def find(self, path: str) -> File:
        """The file of that path, compared without case; FormatError if there is none."""
        for file in self.files():
            if file.path.lower() == path.strip("/").lower():
                return file
        raise FormatError(f"the volume has no file {path}")

    def read(self, file: File) -> bytes:
        """The content of a file."""
        return self._content(file.extents)[: file.size]

    def _root(self) -> bytes:
        if self.bits == 16:
            return self._exactly(self.root_offset, self.data_offset - self.root_offset)
        return self._content(self._chain(self._root_cluster))

    def _content(self, extents: tuple[Extent, ...]) -> bytes:
        return b"".join(self._exactly(extent.offset, extent.size) for extent in extents)

    def _place(self, number: int) -> int:
        return self.data_offset + (number - 2) * self.cluster

    def _chain(self, first: int) -> tuple[Extent, ...]:
        extents: list[Extent] = []
        number = first
        for _ in range(self.clusters + 1):
            if not 2 <= number < self.clusters + 2:
                raise FormatError("a chain of clusters leads out of the volume")
            _append(extents, Extent(self._place(number), self.cluster))
            number = self._table[number] & (0x0FFFFFFF if self.bits == 32 else 0xFFFF)
            if number >= (0x0FFFFFF8 if self.bits == 32 else 0xFFF8):
                return tuple(extents)
        raise FormatError("a chain of clusters runs in a circle")

    def _entries(self, path: str, content: bytes) -> Iterator[tuple[File, int]]:
        long_name: list[bytes] = []
        for at in range(0, len(content) - 31, 32):
            entry = content[at : at + 32]
            attributes = entry[11]
            if entry[0] == 0:
                return
            if entry[0] == 0xE5:
                long_name = []
            elif attributes & 0x3F == _LONG_NAME:
                long_name.insert(0, entry[1:11] + entry[14:26] + entry[28:32])
            elif attributes & _LABEL or entry[:1] == b".":
                long_name = []
            else:
                name = _long(long_name) or _short(entry)
                long_name = []
                high, low, size = struct.unpack_from("<20xH4xHI", entry)
                first = high << 16 | low
                is_folder = bool(attributes & _DIRECTORY)
                extents = self._chain(first) if first else ()
                if not is_folder and sum(extent.size for extent in extents) < size:
                    raise FormatError(f"{path}{name} has fewer clusters than its size asks for")
                yield File(path + name, size, extents, is_folder), first


def _label16(boot: bytes) -> str:
    return boot[43:54].decode("ascii", "replace").rstrip()


def _append(extents: list[Extent], extent: Extent) -> None:
    if extents and extents[-1].offset + extents[-1].size == extent.offset:
        extents[-1] = Extent(extents[-1].offset, extents[-1].size + extent.size)
    else:
        extents.append(extent)


def _long(parts: list[bytes]) -> str:
    return b"".join(parts).decode("utf-16-le", "replace").split("\0", 1)[0]


def _short(entry: bytes) -> str:
    name = entry[:8].decode("latin-1").rstrip()
    ending = entry[8:11].decode("latin-1").rstrip()
    if entry[12] & 0x08:
        name = name.lower()
    if entry[12] & 0x10:
        ending = ending.lower()
    return f"{name}.{ending}" if ending else name
