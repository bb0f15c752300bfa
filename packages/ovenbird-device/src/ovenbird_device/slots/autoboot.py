"""A Raspberry Pi's selector: the one sector of `autoboot.txt` on `select`, written in place and read back."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from ..format import FormatError, autoboot, fat
from ..format.selector import Decoded, Slot, State
from ..update.blocks import SECTOR, Blocks
from .store import StoreError, locked


class AutobootStore:
    """The state on an open `select` partition. `running` counts when the sector makes no sense."""

    def __init__(self, blocks: Blocks, running: Slot | None) -> None:
        """Find the sector. StoreError if `select` is no FAT with an `autoboot.txt` of one sector."""
        self._blocks = blocks
        self._running = running or Slot.A
        try:
            file = fat.Volume(blocks.read_at).find(autoboot.NAME)
        except FormatError as error:
            raise StoreError(f"the selector cannot be found on its partition: {error}") from error
        if file.size != autoboot.SIZE:
            raise StoreError(f"{file.path} on the selector's partition has {file.size} bytes instead of {SECTOR}")
        self._place = file.extents[0].offset

    def read(self) -> Decoded:
        """As `Store.read`."""
        return autoboot.decode(self._sector(), self._running)

    def change(self, event: Callable[[State], State]) -> State:
        """As `Store.change`. A trial has one try here, whatever was asked for."""
        with locked(self._blocks):
            found = self.read()
            new = event(found.state)
            if new.tries > autoboot.TRIES:
                new = replace(new, tries=autoboot.TRIES)
            if new != found.state or found.stale:
                self._write(found.state, new)
            return new

    def _write(self, old: State, new: State) -> None:
        try:
            self._put(autoboot.encode(new))
        except OSError as error:
            with suppress(OSError):
                self._put(autoboot.encode(old))
            raise StoreError(f"the selector's state cannot be written: {error.strerror or error}") from error

    def _put(self, sector: bytes) -> None:
        self._blocks.write_at(self._place, sector)
        self._blocks.flush()
        if self._sector() != sector:
            raise OSError(errno.EIO, "the medium does not keep what is written")

    def _sector(self) -> bytes:
        try:
            return self._blocks.read_at(self._place, SECTOR)
        except OSError:
            return b""
