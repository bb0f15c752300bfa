"""GRUB's selector: two copies of its environment block on `select`, read and written sector by sector.

GRUB reads the first copy that makes sense and rewrites both before each boot. Here, too, the first copy is written and
flushed before the second is touched, so that at each moment one of them is whole; only sectors that change are written,
in place, where GRUB's own FAT reader finds them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from ..format import FormatError, fat, grubenv, selector
from ..format.selector import Decoded, Slot, State
from ..update.blocks import SECTOR, Blocks
from .store import StoreError, locked

Copies = tuple[bytes, bytes]


class GrubStore:
    """The state on an open `select` partition. `running` counts when neither copy makes sense."""

    def __init__(self, blocks: Blocks, running: Slot | None) -> None:
        """Find the copies. StoreError if `select` is no FAT with both of them."""
        self._blocks = blocks
        self._running = running or Slot.A
        try:
            volume = fat.Volume(blocks.read_at)
            files = [volume.find(path) for path in selector.COPIES]
        except FormatError as error:
            raise StoreError(f"the selector cannot be found on its partition: {error}") from error
        self._sectors = [_sectors(file) for file in files]

    def read(self) -> Decoded:
        """The state that the next boot will find. A copy that cannot be read counts as one that makes no sense."""
        return selector.decode(cast(Copies, tuple(self._copy(index) for index in (0, 1))), self._running)

    def change(self, event: Callable[[State], State]) -> State:
        """Apply an event and write what it gives, both copies, if anything is not as it should be.

        Raises what `event` raises (SelectorError) and StoreError; in both cases the state is the old one.
        """
        with locked(self._blocks):
            found = self.read()
            new = event(found.state)
            if new != found.state or found.stale:
                self._write(found.state, new)
            return new

    def _write(self, old: State, new: State) -> None:
        """Both copies. One that cannot be read any more (a sector that died) is done without; any other failure, also
        one to flush, leaves it open what decides, and is undone as far as possible.
        """
        blocks = [selector.encode(state) for state in (old, new)]
        alive = [True, True]
        for index in (0, 1):
            try:
                self._write_copy(index, blocks[1])
            except OSError as error:
                alive[index] = False
                if any(alive) and self._decoded(index) is None:
                    continue
                for number in range(index + 1):
                    with suppress(OSError):
                        self._write_copy(number, blocks[0])
                raise StoreError(f"the selector's state cannot be written: {error.strerror or error}") from error

    def _copy(self, index: int) -> bytes:
        try:
            return b"".join(self._blocks.read_at(offset, SECTOR) for offset in self._sectors[index])
        except OSError:
            return b""

    def _decoded(self, index: int) -> State | None:
        with suppress(FormatError):
            return selector.decode_one(self._copy(index))
        return None

    def _write_copy(self, index: int, block: bytes) -> None:
        """The sectors that differ: padding first (it never changes once it is right), the deciding one last."""
        before = self._copy(index)
        for number, offset in reversed(list(enumerate(self._sectors[index]))):
            part = slice(number * SECTOR, (number + 1) * SECTOR)
            if before[part] != block[part]:
                self._blocks.write_at(offset, block[part])
                self._blocks.flush()
        if self._copy(index) != block:
            raise OSError(errno.EIO, "the medium does not keep what is written")


def _sectors(file: fat.File) -> list[int]:
    """Where each 512 bytes of a copy lie on the volume."""
    if file.size != grubenv.SIZE:
        raise StoreError(f"{file.path} on the selector's partition has {file.size} bytes instead of {grubenv.SIZE}")
    places = [extent.offset + at for extent in file.extents for at in range(0, extent.size, SECTOR)]
    return places[: grubenv.SIZE // SECTOR]
