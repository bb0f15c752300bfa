"""Between a shell's pseudo-terminal and the socket on whose other end is a page: bytes, sizes, and the end of it.

Neither side can make this one keep much: input is read when the shell has taken what came before, output when the page
has drawn enough of it (`frames.WINDOW`), so that a program which prints without end is slowed down and not remembered.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress

from . import frames
from .frames import Data, FrameError, Over, Reason, Seen, Size
from .shell import Shell

_PIECE = frames.LONGEST_TOLD - 1
_HANG_UP = select.POLLHUP | select.POLLERR
_FAREWELL = 1.0


class Relay:
    """One shell and its page, until either is gone."""

    def __init__(self, link: socket.socket, shell: Shell, idle: float) -> None:
        self._link = link
        self._shell = shell
        self._idle = idle
        self._typed = b""
        self._printed = b""
        self._unseen = 0
        self._last = time.monotonic()

    def run(self) -> Reason | None:
        """Returns why it is over; None if the page is gone. Raises FrameError for what no page sends, and OSError."""
        self._link.setblocking(False)
        while True:
            left = self._last + self._idle - time.monotonic()
            if left <= 0:
                return "idle"
            ready = self._wait(left)
            link, terminal = ready.get(self._link.fileno(), 0), ready.get(self._shell.terminal, 0)
            if link & select.POLLIN and not self._receive():
                return None
            if link & _HANG_UP and not link & select.POLLIN:
                return None
            if link & select.POLLOUT:
                self._tell()
            if terminal & select.POLLOUT:
                self._type()
            if self._shell.process in ready:
                self._drain()
                return "ended"
            if self._reads and terminal & (select.POLLIN | _HANG_UP) and not self._print():
                return "ended"

    @property
    def _reads(self) -> bool:
        """Whether there is room for more output."""
        return not self._printed and self._unseen < frames.WINDOW

    def _wait(self, seconds: float) -> dict[int, int]:
        """What is ready. Nobody is asked for what is not wanted: a hang-up would be told again and again."""
        poll = select.poll()
        poll.register(self._shell.process, select.POLLIN)
        poll.register(self._link, (0 if self._typed else select.POLLIN) | (select.POLLOUT if self._printed else 0))
        wanted = (select.POLLIN if self._reads else 0) | (select.POLLOUT if self._typed else 0)
        if wanted:
            poll.register(self._shell.terminal, wanted)
        return dict(poll.poll(seconds * 1000))

    def _drain(self) -> None:
        """The shell has ended: pass on what it printed last, but not what others go on to print in its terminal."""
        self._link.settimeout(_FAREWELL)
        with suppress(OSError):
            if self._printed:
                self._link.send(self._printed)
            for _ in range(frames.WINDOW // _PIECE):
                self._link.send(frames.pack(Data(os.read(self._shell.terminal, _PIECE))))

    def _receive(self) -> bool:
        """Take one message. False at the end."""
        try:
            message = self._link.recv(frames.LONGEST_TYPED + 1)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not message:
            return False
        match frames.typed(message):
            case Data(data):
                self._last = time.monotonic()
                self._typed = data
                self._type()
            case Size() as size:
                self._shell.resize(size)
            case Seen(count):
                self._unseen = max(0, self._unseen - count)
        return True

    def _type(self) -> None:
        try:
            self._typed = self._typed[os.write(self._shell.terminal, self._typed) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._typed = b""

    def _print(self) -> bool:
        """Read what was printed. False once nobody can print any more."""
        try:
            data = os.read(self._shell.terminal, _PIECE)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        if not data:
            return False
        self._unseen += len(data)
        self._printed = frames.pack(Data(data))
        self._tell()
        return True

    def _tell(self) -> None:
        try:
            self._link.send(self._printed)
        except BlockingIOError:
            return
        except ConnectionError:
            pass  # the next look at it says so
        self._printed = b""


def first_size(link: socket.socket, patience: float) -> Size | None:
    """The size of the page's window, its first message. None if no page came in time, or it went away.

    Raises FrameError for any other message, and OSError.
    """
    link.settimeout(patience)
    try:
        message = link.recv(frames.LONGEST_TYPED + 1)
    except (TimeoutError, ConnectionError):
        return None
    if not message:
        return None
    size = frames.typed(message)
    if not isinstance(size, Size):
        raise FrameError("the first message is the window's size")
    return size


def farewell(link: socket.socket, reason: Reason) -> None:
    """Say why it is over, if anybody still listens. Does not raise."""
    with suppress(OSError):
        link.settimeout(_FAREWELL)
        link.send(frames.pack(Over(reason)))
