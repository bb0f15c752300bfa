"""The GUID partition table: read it robustly, and rewrite it so that no power cut leaves a disk without one.

Format: UEFI specification 2.10, chapter 5. All numbers are little-endian; the unit is the sector of 512 bytes.

A device rewrites its table once in its life: at the first boot it takes random identifiers (so that two cards written
from one image work in one machine) and lets the last partition grow. Three readers look at the table, each in its own
way: the firmware checks sums and may use the backup; Linux checks sums and uses the backup on the last sector when it
is booted with `gpt`; GRUB looks at the primary header only and checks nothing. So that all three see either the old or
the new table at every moment, `rewrite` writes the new primary array *beside* the old one (there is room before the
first partition) and switches by one single sector, the header.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ovenbird_device.format import FormatError
from ovenbird_device.format.sectors import SECTOR, Extent, Flush, ReadAt, Step, Write

ENTRY_SIZE = 128
ENTRY_COUNT = 128
ARRAY_SECTORS = ENTRY_COUNT * ENTRY_SIZE // SECTOR
ARRAY_PLACES = (2, 2 + ARRAY_SECTORS)
"""Where the primary array may lie: the usual place, and the one right behind it, used for a moment by a rewrite."""
FIRST_USABLE = 2048
MAX_ENTRIES = 1024
NAME_UNITS = 36

_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_SIGNATURE = b"EFI PART"
_REVISION = b"\x00\x00\x01\x00"
_ENTRY = struct.Struct("<16s16sQQQ72s")


class Source(StrEnum):
    """Which copy of the table was good enough to be used."""

    PRIMARY = "primary"
    BACKUP = "backup"


class Partition(msgspec.Struct, Extent, frozen=True):
    """One entry: `first` and `last` are sectors, both belong to the partition. `number` counts from 1."""

    number: int
    name: str
    type: UUID
    uuid: UUID
    first: int
    last: int
    attributes: int = 0


class Table(msgspec.Struct, frozen=True):
    """A whole table for a disk of `sectors` sectors; partitions are sorted by number, gaps in the numbers are
    allowed.
    """

    disk: UUID
    partitions: tuple[Partition, ...]
    sectors: int
    entries_at: int = ARRAY_PLACES[0]

    @property
    def last_usable(self) -> int:
        """The last sector that a partition may use."""
        return self.sectors - ARRAY_SECTORS - 2

    def named(self, name: str) -> Partition:
        """The partition of that name; FormatError if there is none."""
        for partition in self.partitions:
            if partition.name == name:
                return partition
        raise FormatError(f"the disk has no partition named {name!r}")


class Found(msgspec.Struct, frozen=True):
    """A table read from a disk, and which copy it came from."""

    table: Table
    source: Source
    problem: str = ""
    """Why the primary was not used; empty if it was."""


def check(table: Table) -> None:
    """Raise FormatError unless the table is one that every reader accepts."""
    if table.sectors < FIRST_USABLE + ARRAY_SECTORS + 2:
        raise FormatError(f"a disk of {table.sectors} sectors is too small for a partition table")
    if table.entries_at not in ARRAY_PLACES:
        raise FormatError(f"the primary array may not lie at sector {table.entries_at}")
    numbers = [partition.number for partition in table.partitions]
    if numbers != sorted(set(numbers)) or any(not 1 <= number <= ENTRY_COUNT for number in numbers):
        raise FormatError("partition numbers must rise, be unique and lie between 1 and 128")
    ids = [table.disk, *(partition.uuid for partition in table.partitions)]
    if len(set(ids)) != len(ids) or any(value.int == 0 for value in ids):
        raise FormatError("the identifiers of a disk and its partitions must differ and not be zero")
    _check_places(table.partitions, FIRST_USABLE, table.last_usable)
    for partition in table.partitions:
        if partition.type.int == 0:
            raise FormatError(f"partition {partition.number} has no type")
        if "\0" in partition.name or len(partition.name.encode("utf-16-le")) > 2 * NAME_UNITS:
            raise FormatError(f"the name of partition {partition.number} does not fit into {NAME_UNITS} characters")


def _check_places(partitions: Sequence[Partition], first: int, last: int) -> None:
    end = first - 1
    for partition in sorted(partitions, key=lambda one: one.first):
        if partition.last < partition.first:
            raise FormatError(f"partition {partition.number} ends before it begins")
        if partition.first < first or partition.last > last:
            raise FormatError(f"partition {partition.number} lies outside of the usable sectors")
        if partition.first <= end:
            raise FormatError(f"partition {partition.number} overlaps another one")
        end = partition.last


def protective_mbr(code: bytes = b"") -> bytes:
    """The first sector: up to 440 bytes of boot code and one entry that covers the whole disk.

    The entry's length is always "all there is" (0xffffffff), so that the sector need not change when the disk grows.
    """
    if len(code) > 440:
        raise FormatError("boot code longer than 440 bytes does not fit before the partition table")
    entry = bytes([0, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 0xFFFFFFFF)
    return code.ljust(440, b"\0") + bytes(6) + entry + bytes(48) + b"\x55\xaa"


def _array(table: Table) -> bytes:
    array = bytearray(ENTRY_COUNT * ENTRY_SIZE)
    for one in table.partitions:
        name = one.name.encode("utf-16-le").ljust(2 * NAME_UNITS, b"\0")
        place = (one.number - 1) * ENTRY_SIZE
        _ENTRY.pack_into(array, place, one.type.bytes_le, one.uuid.bytes_le, one.first, one.last, one.attributes, name)
    return bytes(array)


def _header(table: Table, *, at: int, other: int, entries_at: int, array: bytes) -> bytes:
    def pack(total: int) -> bytes:
        return _HEADER.pack(
            _SIGNATURE,
            _REVISION,
            _HEADER.size,
            total,
            0,
            at,
            other,
            FIRST_USABLE,
            table.last_usable,
            table.disk.bytes_le,
            entries_at,
            ENTRY_COUNT,
            ENTRY_SIZE,
            zlib.crc32(array),
        )

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def primary(table: Table) -> tuple[Write, Write]:
    """The primary copy: its array, then its header. The order matters on a live disk."""
    check(table)
    array = _array(table)
    header = _header(table, at=1, other=table.sectors - 1, entries_at=table.entries_at, array=array)
    return Write(table.entries_at * SECTOR, array), Write(SECTOR, header)


def backup(table: Table) -> tuple[Write, Write]:
    """The backup copy at the end of the disk: its array, then its header."""
    check(table)
    array = _array(table)
    at = table.sectors - 1
    header = _header(table, at=at, other=1, entries_at=at - ARRAY_SECTORS, array=array)
    return Write((at - ARRAY_SECTORS) * SECTOR, array), Write(at * SECTOR, header)


def read(read_at: ReadAt, sectors: int) -> Found:
    """Read the table of a disk of `sectors` sectors: the primary copy, else the backup.

    The backup is looked for on the last sector, then where the primary header says (an image that was written to a
    larger disk has it in the middle). Raises FormatError, with the reason of each, when no copy is good.
    """
    try:
        return Found(_read_copy(read_at, 1, sectors), Source.PRIMARY)
    except FormatError as error:
        problem = str(error)
    reasons = [f"primary: {problem}"]
    for place in _backup_places(read_at, sectors):
        try:
            return Found(_read_copy(read_at, place, sectors), Source.BACKUP, problem)
        except FormatError as error:
            reasons.append(f"backup at sector {place}: {error}")
    raise FormatError("no usable partition table (" + "; ".join(reasons) + ")")


def _backup_places(read_at: ReadAt, sectors: int) -> list[int]:
    places = [sectors - 1]
    try:
        raw = _read_exactly(read_at, 1, 1)
    except FormatError:
        return places
    if raw.startswith(_SIGNATURE):
        other = int.from_bytes(raw[32:40], "little")
        if 1 < other < sectors - 1:
            places.append(other)
    return places


def _read_exactly(read_at: ReadAt, sector: int, count: int) -> bytes:
    try:
        data = read_at(sector * SECTOR, count * SECTOR)
    except OSError as error:
        raise FormatError(f"sector {sector} cannot be read: {error.strerror or error}") from error
    if len(data) != count * SECTOR:
        raise FormatError(f"sector {sector} lies behind the end of the disk")
    return data


def _read_copy(read_at: ReadAt, at: int, sectors: int) -> Table:
    raw = _read_exactly(read_at, at, 1)
    (signature, revision, size, total, _, my, other, first, last, disk, entries_at, count, entry_size, array_sum) = (
        _HEADER.unpack_from(raw)
    )
    if signature != _SIGNATURE:
        raise FormatError("no GPT signature")
    if revision != _REVISION or not _HEADER.size <= size <= SECTOR:
        raise FormatError("unknown GPT revision or header size")
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != total:
        raise FormatError("the header's checksum is wrong")
    if my != at:
        raise FormatError("the header belongs to another sector")
    if entry_size != ENTRY_SIZE or not 1 <= count <= MAX_ENTRIES:
        raise FormatError(f"{count} entries of {entry_size} bytes are not supported")
    array_sectors = -(-count * entry_size // SECTOR)
    if not 2 <= entries_at <= sectors - array_sectors or first > last or last >= sectors:
        raise FormatError("the header points outside of the disk")
    array = _read_exactly(read_at, entries_at, array_sectors)[: count * entry_size]
    if zlib.crc32(array) != array_sum:
        raise FormatError("the entries' checksum is wrong")
    partitions = tuple(_entries(array))
    _check_places(partitions, first, last)
    end = (my if my != 1 else other) + 1
    place = entries_at if at == 1 and entries_at in ARRAY_PLACES else ARRAY_PLACES[0]
    return Table(UUID(bytes_le=disk), partitions, end, place)


def _entries(array: bytes) -> list[Partition]:
    found: list[Partition] = []
    for index in range(len(array) // ENTRY_SIZE):
        kind, uuid, first, last, attributes, name = _ENTRY.unpack_from(array, index * ENTRY_SIZE)
        if kind == bytes(16):
            continue
        text = name.decode("utf-16-le", errors="replace").split("\0", 1)[0]
        found.append(Partition(index + 1, text, UUID(bytes_le=kind), UUID(bytes_le=uuid), first, last, attributes))
    return found


def grow(table: Table, sectors: int, *, align: int = FIRST_USABLE) -> Table:
    """The same table on a disk of `sectors` sectors, with the partition that lies last using all the room behind it.

    The end is aligned to `align` sectors. A disk that has no more room gives an equal table; a smaller one is an error.
    """
    if not table.partitions:
        raise FormatError("there is no partition to grow")
    tail = max(table.partitions, key=lambda one: one.last)
    bigger = replace(table, sectors=sectors)
    if tail.last > bigger.last_usable:
        raise FormatError(f"the disk ends before partition {tail.number} ({tail.name}) does")
    end = (bigger.last_usable + 1) // align * align - 1
    grown = replace(tail, last=max(tail.last, end))
    return replace(bigger, partitions=tuple(grown if one is tail else one for one in table.partitions))


def identify(table: Table, disk: UUID, ids: Mapping[int, UUID]) -> Table:
    """The same table under other identifiers: `ids` has one for each partition number."""
    partitions = tuple(replace(one, uuid=ids[one.number]) for one in table.partitions)
    return replace(table, disk=disk, partitions=partitions)


def rewrite(found: Found, new: Table) -> tuple[Step, ...]:
    """The writes, in order and with their barriers, that turn the table on a disk into `new`.

    Partitions may only get other identifiers or another end. The good copy is replaced last. The primary copy is
    switched by its header alone, first to an array beside the old one and then back to the usual place, where simpler
    readers look. So each prefix of the steps, with any part of the writes since the last Flush, leaves a table that
    the firmware, Linux and GRUB read alike.
    """
    old = {one.number: one.first for one in found.table.partitions}
    if old != {one.number: one.first for one in new.partitions}:
        raise FormatError("a rewrite must not move, add or remove partitions")
    places = ARRAY_PLACES[::-1] if found.table.entries_at == ARRAY_PLACES[0] else ARRAY_PLACES[:1]
    first: list[Step] = []
    for place in places:
        array, header = primary(replace(new, entries_at=place))
        first += [array, Flush(), header, Flush()]
    second: list[Step] = [*backup(new), Flush()]
    return (*second, *first) if found.source is Source.PRIMARY else (*first, *second)
