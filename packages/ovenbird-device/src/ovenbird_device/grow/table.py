"""What has to change in the partition table, and the writing of it. Works on any file that can be read and written.

An image's identifiers derive from its content (UUID version 5). A disk takes random ones (version 4) at its first
boot, so that two media written from one image work in one machine; the version tells whether that has been done. An MBR
has one number of 32 bits for the disk, whose highest bit tells the same.
"""

import os
import secrets
from collections.abc import Callable
from uuid import UUID, uuid4

from msgspec.structs import replace

from ..format import FormatError, gpt, mbr
from ..format.sectors import Flush, Step, Write

DATA = "data"
_FROM_IMAGE = 5


def renewed(found: gpt.Found, number: int, sectors: int, random: Callable[[], UUID] = uuid4) -> gpt.Table:
    """The table that a disk of `sectors` sectors should have; equal to the one found when nothing is to do.

    `number` is the partition that is mounted as data. Raises FormatError when that is not the partition `data`, when
    something lies behind it, or when the disk is smaller than its table.
    """
    table = found.table
    data = table.named(DATA)
    if data.number != number:
        raise FormatError(f"data is partition {data.number} of the table, but partition {number} is mounted")
    if data.last != max(one.last for one in table.partitions):
        raise FormatError("another partition lies behind data")
    new = gpt.grow(table, sectors)
    if new.disk.version == _FROM_IMAGE:
        new = gpt.identify(new, random(), {one.number: random() for one in new.partitions})
    return new


def outdated(disk: int, found: gpt.Found, new: gpt.Table) -> bool:
    """Whether the disk must be written: another table, or a copy of it that is missing or damaged. Raises OSError."""
    if found.source is not gpt.Source.PRIMARY or replace(new, entries_at=found.table.entries_at) != found.table:
        return True
    return any(os.pread(disk, len(copy.data), copy.offset) != copy.data for copy in gpt.backup(new))


def write(disk: int, steps: tuple[Step, ...]) -> None:
    """Do the writes with their barriers. Raises OSError; what is on the disk then is still a whole table."""
    for step in steps:
        match step:
            case Flush():
                os.fsync(disk)
            case Write(offset, data):
                done = 0
                while done < len(data):
                    done += os.pwrite(disk, data[done:], offset + done)


def renewed_mbr(table: mbr.Table, number: int, sectors: int, random: Callable[[], int] | None = None) -> mbr.Table:
    """As `renewed`, for an MBR; it has no names, so that `data` is the partition that lies last."""
    data = table.numbered(number)
    if data.last != max(one.last for one in table.partitions if one is not table.extended):
        raise FormatError("another partition lies behind data")
    new = mbr.grow(table, sectors)
    if not new.signature & mbr.OWN:
        new = replace(new, signature=(random or _signature)() | mbr.OWN)
    return new


def _signature() -> int:
    return secrets.randbits(31)
