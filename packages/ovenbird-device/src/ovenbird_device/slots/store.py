"""The selector's state on `select`, behind one face: GRUB's two copies, or the one sector of a Raspberry Pi.

`select` is never mounted: mounting alone writes. Sectors are read and written in place, and everything that changes the
state holds a lock on the partition's own device.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from ..format.selector import Decoded, State
from ..update.blocks import Blocks


class StoreError(Exception):
    """The selector's state cannot be read or written; what decides over the next boot is as it was."""


class Store(Protocol):
    """The state on an open `select` partition."""

    def read(self) -> Decoded:
        """The state that the next boot will find. What cannot be read counts as what makes no sense."""
        ...

    def change(self, event: Callable[[State], State]) -> State:
        """Apply an event and write what it gives, if anything is not as it should be.

        Raises what `event` raises (SelectorError) and StoreError; in both cases the state is the old one.
        """
        ...


@contextmanager
def locked(blocks: Blocks) -> Generator[None]:
    """Alone among all processes that change the state: the lock is on the partition's own device."""
    number = getattr(blocks, "number", None)
    if number is None:
        yield
        return
    fcntl.flock(number, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(number, fcntl.LOCK_UN)
