"""A bundle's bytes as they come from the agent: a pipe that may be cut, and go on later where it ended.

The agent holds the network, the steward the installer; between them is a pipe. When an upload's connection breaks, the
agent closes its end, and the installer waits here, in the middle of a read, until somebody brings another pipe that
goes on at exactly the byte where the first one ended, or until its patience ends. Nothing is kept but the position.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .snapshot import Reason, UpdateError

PATIENCE = 600.0
"""Seconds that a cut upload may be continued in."""
_SLOW = 5.0
"""Seconds that `resume` waits for the old pipe's end to be seen."""
_PIPE = 1 << 20


class Feed:
    """Read by the installer's thread; `resume` and `abort` come from others."""

    def __init__(
        self,
        number: int,
        size: int | None,
        *,
        patience: float = PATIENCE,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over the descriptor `number`. `size` is how long the whole bundle is; without it (None) the end of the
        pipe is the end of the bundle, and there is no going on. `told` is called when it pauses and when it goes on.
        """
        self.size = size
        self.position = 0
        self._number = _wide(number)
        self._patience = patience
        self._told = told
        self._paused_until: float | None = None
        self._aborted = ""
        self._changed = threading.Condition()
        self._awake, self._wake = os.pipe()

    @property
    def paused(self) -> float | None:
        """Seconds that are left to go on; None if it is not paused."""
        until = self._paused_until
        return None if until is None else max(until - time.monotonic(), 0.0)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the bundle. UpdateError if it was aborted or cut for too long."""
        while True:
            if self.size is not None:
                size = min(size, self.size - self.position)
            if size <= 0:
                return b""
            ready = select.select([self._number, self._awake], [], [], self._patience)[0]
            self.check()
            if not ready:
                raise UpdateError(Reason.INTERRUPTED, f"Nothing more came after byte {self.position}.")
            try:
                data = os.read(self._number, size)
            except OSError:
                data = b""
            if data:
                self.position += len(data)
                return data
            if self.size is None:
                return b""
            self._pause()

    def resume(self, number: int, offset: int) -> None:
        """Go on from another pipe, which is taken over. ValueError (and the pipe is closed) if that cannot be."""
        with self._changed:
            self._changed.wait_for(lambda: self._paused_until is not None or self._aborted, _SLOW)
            problem = ""
            if self._paused_until is None:
                problem = "the upload is not interrupted"
            elif offset != self.position:
                problem = f"the upload must go on at byte {self.position}, not {offset}"
            if problem:
                os.close(number)
                raise ValueError(problem)
            os.close(self._number)
            self._number = _wide(number)
            self._paused_until = None
            self._changed.notify_all()

    def abort(self, why: str) -> None:
        """End it: the installer's next read or `check` raises."""
        with self._changed:
            self._aborted = self._aborted or why
            if self._number >= 0:
                os.write(self._wake, b"!")
            self._changed.notify_all()

    def check(self) -> None:
        """Raise UpdateError if it was aborted."""
        if self._aborted:
            raise UpdateError(Reason.ABORTED, self._aborted)

    def close(self) -> None:
        """Let go of the pipe; the agent's writes fail from now on."""
        with self._changed:
            if self._number >= 0:
                os.close(self._number)
                self._number = -1
                os.close(self._awake)
                os.close(self._wake)

    def _pause(self) -> None:
        with self._changed:
            self._paused_until = time.monotonic() + self._patience
            self._changed.notify_all()
        self._told()
        with self._changed:
            if not self._changed.wait_for(lambda: self._paused_until is None or self._aborted, self._patience):
                raise UpdateError(Reason.INTERRUPTED, f"The upload broke off at byte {self.position}.")
        self.check()
        self._told()


def _wide(number: int) -> int:
    """A larger pipe means fewer switches between agent and steward; sockets and files are taken as they are."""
    with suppress(OSError):
        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, _PIPE)
    return number
