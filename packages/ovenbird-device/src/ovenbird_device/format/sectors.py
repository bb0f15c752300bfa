"""What the formats of disks share: sectors, extents of them, and the steps of a change that survives a power cut."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

SECTOR = 512

ReadAt = Callable[[int, int], bytes]
"""`read(offset, size)` in bytes; returns fewer bytes at the end of the disk, raises OSError on a failing one."""


class Extent:
    """A run of sectors from `first` to `last`, both of which belong to it."""

    __slots__ = ()
    first: int
    last: int

    @property
    def sectors(self) -> int:
        """Length in sectors."""
        return self.last - self.first + 1

    @property
    def offset(self) -> int:
        """Start in bytes from the start of the disk."""
        return self.first * SECTOR

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.sectors * SECTOR


class Write(msgspec.Struct, frozen=True):
    """Write `data` at `offset` (bytes)."""

    offset: int
    data: bytes


class Flush(msgspec.Struct, frozen=True):
    """Everything before must be on the medium before anything after is written."""


Step = Write | Flush
