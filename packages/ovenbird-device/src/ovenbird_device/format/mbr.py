"""The MBR partition table with logical partitions: the one that the firmware of every Raspberry Pi reads.

The first sector has four entries; one of them, the extended partition, holds a chain of further tables, each in a
sector of its own (its *link*) with an entry for one logical partition and one for the next link. Numbers are Linux':
1 to 4 are the first sector's, 5 and up the chain's. A partition's PARTUUID is the disk's signature and its number.

A device rewrites its table at its first boot: a signature of its own, and all the room for the last partition. Each of
the sectors is good with the others old or new, so they are simply written one after another, the outermost first.

Format: Linux, block/partitions/msdos.c; UEFI specification 2.10, 5.2.1 (legacy master boot record). Numbers are
little-endian, the unit is the sector of 512 bytes.
"""

from __future__ import annotations

import struct

import msgspec
from msgspec.structs import replace

from ovenbird_device.format import FormatError
from ovenbird_device.format.sectors import SECTOR, Extent, Flush, ReadAt, Step, Write

FAT16 = 0x0E
FAT32 = 0x0C
LINUX = 0x83
EXTENDED = 0x0F
PROTECTIVE = 0xEE
"""The type that says: the disk's table is a GPT."""
ALIGN = 2048
PRIMARY = 4
OWN = 1 << 31
"""Set in the signature that a device gave itself; clear in an image's, which derives from its content."""
_EXTENDED = (0x05, 0x0F, 0x85)
_SIGNATURE_AT = 440
_ENTRIES_AT = 446
_ENTRY = struct.Struct("<B3sB3sII")
_END = b"\x55\xaa"
_NO_CHS = b"\xfe\xff\xff"
"""Cylinder, head and sector: "too large to be told"."""
_MOST = 0xFFFFFFFF
_MOST_LOGICAL = 60


class Partition(msgspec.Struct, Extent, frozen=True):
    """One entry: `first` and `last` are sectors, both belong to it. `link` is the sector of a logical one's table."""

    number: int
    type: int
    first: int
    last: int
    link: int = 0


class Table(msgspec.Struct, frozen=True):
    """A whole table for a disk of `sectors` sectors: the partitions by number, the extended one among them."""

    signature: int
    partitions: tuple[Partition, ...]
    sectors: int

    def numbered(self, number: int) -> Partition:
        """The partition of that number; FormatError if there is none."""
        for one in self.partitions:
            if one.number == number:
                return one
        raise FormatError(f"the disk has no partition {number}")

    @property
    def extended(self) -> Partition | None:
        """The partition that holds the logical ones."""
        return next((one for one in self.partitions if one.type in _EXTENDED), None)

    @property
    def logical(self) -> tuple[Partition, ...]:
        """Those inside of it, in the order of the chain."""
        return tuple(one for one in self.partitions if one.number > PRIMARY)


def partuuid(table: Table, number: int) -> str:
    """The PARTUUID as Linux writes it."""
    return f"{table.signature:08x}-{number:02x}"


def check(table: Table) -> None:
    """Raise FormatError unless the table is one that every reader accepts."""
    if not 0 < table.signature <= _MOST:
        raise FormatError("a disk's signature has 32 bits and is not zero")
    if table.sectors > _MOST:
        raise FormatError("an MBR can describe 2 TiB at most")
    numbers = [one.number for one in table.partitions]
    if numbers != sorted(set(numbers)) or any(number < 1 for number in numbers):
        raise FormatError("partition numbers must rise and be unique")
    outer = [one for one in table.partitions if one.number <= PRIMARY]
    extended = [one for one in outer if one.type in _EXTENDED]
    if len(extended) > 1 or (table.logical and not extended):
        raise FormatError("logical partitions need one extended partition")
    if [one.number for one in table.logical] != list(range(PRIMARY + 1, PRIMARY + 1 + len(table.logical))):
        raise FormatError("logical partitions are numbered from 5 without gaps")
    _check_places([(one.number, one.first, one.last) for one in outer], 1, table.sectors - 1)
    if extended:
        inside = [(one.number, one.link, one.last) for one in table.logical]
        _check_places(inside, extended[0].first, extended[0].last)
        if table.logical and table.logical[0].link != extended[0].first:
            raise FormatError("the extended partition begins with the first link")
        if any(not one.link < one.first <= one.last for one in table.logical):
            raise FormatError("a logical partition lies behind its link")


def _check_places(places: list[tuple[int, int, int]], first: int, last: int) -> None:
    end = first - 1
    for number, begin, final in places:
        if final < begin or begin <= end or final > last:
            raise FormatError(f"partition {number} lies outside of its place, or over another one")
        end = final


def _entry(kind: int, first: int, sectors: int) -> bytes:
    return _ENTRY.pack(0, _NO_CHS, kind, _NO_CHS, first, sectors)


def _sector(entries: dict[int, bytes], signature: int = 0) -> bytes:
    table = b"".join(entries.get(place, bytes(_ENTRY.size)) for place in range(PRIMARY))
    return bytes(_SIGNATURE_AT) + signature.to_bytes(4, "little") + bytes(2) + table + _END


def writes(table: Table) -> tuple[Write, ...]:
    """Every sector of the table, the outermost first."""
    check(table)
    outer = {
        one.number - 1: _entry(one.type, one.first, one.sectors) for one in table.partitions if one.number <= PRIMARY
    }
    found = [Write(0, _sector(outer, table.signature))]
    extended = table.extended
    if extended is None:
        return tuple(found)
    for one, after in zip(table.logical, (*table.logical[1:], None), strict=True):
        inner = {0: _entry(one.type, one.first - one.link, one.sectors)}
        if after is not None:
            inner[1] = _entry(_EXTENDED[0], after.link - extended.first, after.last - after.link + 1)
        found.append(Write(one.link * SECTOR, _sector(inner)))
    return tuple(found)


def is_mbr(sector: bytes) -> bool:
    """Whether a disk's first sector has a table of this kind, and not one that stands in for a GPT."""
    kinds = [sector[_ENTRIES_AT + place * _ENTRY.size + 4] for place in range(PRIMARY)] if len(sector) == SECTOR else []
    return sector[510:] == _END and any(kinds) and PROTECTIVE not in kinds


def read(read_at: ReadAt, sectors: int) -> Table:
    """The table of a disk of `sectors` sectors. Raises FormatError where there is none that makes sense."""
    first = _read_sector(read_at, 0)
    if not is_mbr(first):
        raise FormatError("the first sector has no MBR partition table")
    partitions = [
        Partition(place + 1, kind, begin, begin + length - 1)
        for place, (kind, begin, length) in enumerate(_entries(first))
        if kind and length
    ]
    extended = next((one for one in partitions if one.type in _EXTENDED), None)
    if extended is not None:
        partitions += _chain(read_at, extended)
    table = Table(int.from_bytes(first[_SIGNATURE_AT : _SIGNATURE_AT + 4], "little"), tuple(partitions), sectors)
    check(table)
    return table


def _chain(read_at: ReadAt, extended: Partition) -> list[Partition]:
    found: list[Partition] = []
    link = extended.first
    while len(found) < _MOST_LOGICAL:
        (kind, begin, length), (following, distance, _) = _entries(_read_sector(read_at, link))[:2]
        if not kind or not length:
            return found
        found.append(Partition(PRIMARY + 1 + len(found), kind, link + begin, link + begin + length - 1, link))
        if following not in _EXTENDED:
            return found
        if extended.first + distance <= link:
            raise FormatError("the chain of logical partitions runs backwards")
        link = extended.first + distance
    raise FormatError("the disk has more logical partitions than a device of ours has")


def _entries(sector: bytes) -> list[tuple[int, int, int]]:
    places = (_ENTRY.unpack_from(sector, _ENTRIES_AT + place * _ENTRY.size) for place in range(PRIMARY))
    return [(kind, first, length) for _, _, kind, _, first, length in places]


def _read_sector(read_at: ReadAt, sector: int) -> bytes:
    try:
        data = read_at(sector * SECTOR, SECTOR)
    except OSError as error:
        raise FormatError(f"sector {sector} cannot be read: {error.strerror or error}") from error
    if len(data) != SECTOR or data[510:] != _END:
        raise FormatError(f"sector {sector} is no partition table")
    return data


def grow(table: Table, sectors: int) -> Table:
    """The same table on a disk of `sectors` sectors, with the last partition using all the room behind it (2 TiB at
    most). A disk that has no more room gives an equal table but for its size; a smaller one is an error.
    """
    usable = min(sectors, _MOST) // ALIGN * ALIGN - 1
    tail = max(table.partitions, key=lambda one: (one.last, one.number))
    if tail.last >= sectors:
        raise FormatError(f"the disk ends before partition {tail.number} does")
    end = max(tail.last, usable)
    wider = {tail.number}
    if tail.number > PRIMARY and table.extended is not None:
        wider.add(table.extended.number)
    grown = tuple(replace(one, last=end) if one.number in wider else one for one in table.partitions)
    return Table(table.signature, grown, min(sectors, _MOST))


def rewrite(old: Table, new: Table) -> tuple[Step, ...]:
    """The writes, with their barriers, that turn the table on a disk into `new`; only sectors that differ.

    Partitions may only end elsewhere, further behind. What holds the others grows first, so each prefix is a table in
    which everything lies inside of what it belongs to.
    """
    if [(one.number, one.first, one.link) for one in old.partitions] != [
        (one.number, one.first, one.link) for one in new.partitions
    ]:
        raise FormatError("a rewrite must not move, add or remove partitions")
    if any(after.last < before.last for before, after in zip(old.partitions, new.partitions, strict=True)):
        raise FormatError("a rewrite must not shrink a partition")
    steps: list[Step] = []
    for before, after in zip(writes(old), writes(new), strict=True):
        if before != after:
            steps += [after, Flush()]
    return tuple(steps)
