"""The steward's part: looks at the password, has systemd start a shell, and notes for whom.

The socket is root's alone and its service is the user's, so neither can the agent start a shell without somebody's
password, nor does the steward ever run one.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ..accounts import users
from ..format import terminal
from ..provision import password
from ..slots import files
from . import frames
from .frames import FrameError, Hello

MOST = 2
"""Terminals at once; the socket's unit leaves room for as many that are about to end."""
_PATIENCE = 45.0
"""Seconds; a slow board that is busy starts Python in ten."""
_INSTANCE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class TerminalError(Exception):
    """There is no terminal; the message is for people, `reason` for programs: `unknown`, `password`, `terminal`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Places(msgspec.Struct, frozen=True):
    """Where things are."""

    said: Path = Path("/") / terminal.PATH
    socket: Path = Path("/run/ovenbird/terminal.sock")
    notes: Path = Path("/run/ovenbird/terminals")


class Note(msgspec.Struct, frozen=True):
    """Who has a shell: the address, and since when, in seconds since the boot."""

    by: str
    since: float


def start(places: Places, accounts: users.Places, kept: Path, given: str, by: str) -> socket.socket:
    """The connection to a fresh shell, for whoever knows the password in the file `kept`. Raises TerminalError."""
    said = terminal.read(places.said)
    if said is None:
        raise TerminalError("This image has no terminal.", "unknown")
    right = password.read(kept)
    if right is None or not password.matches(right, given):
        raise TerminalError("That is not this device's password.", "password")
    if not users.is_person(accounts, said.user):
        raise TerminalError(f"Nobody can log in here as {said.user[:32]}.", "terminal")
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.settimeout(_PATIENCE)
        link.connect(str(places.socket))
        greeting = link.recv(frames.LONGEST_TOLD)
        if not greeting:
            raise TerminalError("The shell was not started: it failed, or too many are open.", "terminal")
        hello = frames.told(greeting)
        if not isinstance(hello, Hello):
            raise FrameError("its first message is another one")
        files.save(places.notes / hello.instance, Note(by, time.monotonic()))
    except (OSError, FrameError) as error:
        link.close()
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise TerminalError(f"The shell cannot be started: {words}.", "terminal") from error
    except TerminalError:
        link.close()
        raise
    return link


def forget(places: Places, instance: str) -> Note | None:
    """Take the note of an instance away. None if nobody ever had its shell."""
    if not _INSTANCE.fullmatch(instance):
        return None
    note = files.load(places.notes / instance, Note)
    with suppress(OSError):
        (places.notes / instance).unlink()
    return note
