"""What a page and a shell say to each other, and how it is written: a byte for the kind, then what it carries.

The same messages go to the shell over the WebSocket (one binary message each) and over the socket between agent and
shell (one packet each, SOCK_SEQPACKET), so that the agent passes on what it has understood and puts nothing together.
To the page go only the printed bytes; an end is the WebSocket's own. Numbers are big-endian. What comes from either
side is hostile: a shell can be told to print anything, and its user can speak in its place.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Literal, get_args

import msgspec

LONGEST_TYPED: Final = 4096
"""Bytes of a message to the shell."""
LONGEST_TOLD: Final = 16 << 10
"""Bytes of a message from the shell."""
WINDOW: Final = 256 << 10
"""Bytes of output that may be under way: a page that does not say it has seen them gets no more."""
IDLE: Final = 900.0
"""Seconds without a key after which a terminal is closed."""
MOST_CELLS: Final = 1000
"""Columns or rows of a window."""

Reason = Literal["ended", "idle", "silent", "failed"]
"""Why it is over: the shell ended; nobody typed; no page ever came; there is no shell to run."""

_DATA, _SIZE, _SEEN, _OVER, _HELLO = range(5)
_SIZES: Final = struct.Struct(">HH")
_COUNT: Final = struct.Struct(">I")
_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
_INSTANCE: Final = re.compile(rb"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class FrameError(Exception):
    """This is none of our messages."""


class Data(msgspec.Struct, frozen=True):
    """Bytes: typed, or printed."""

    data: bytes


class Size(msgspec.Struct, frozen=True):
    """The window has so many columns and rows now."""

    columns: int
    rows: int


class Seen(msgspec.Struct, frozen=True):
    """So many more bytes of output have been drawn."""

    count: int


class Over(msgspec.Struct, frozen=True):
    """The last message of a shell."""

    reason: Reason


class Hello(msgspec.Struct, frozen=True):
    """The first message of a shell, for the steward: which instance of the unit it is."""

    instance: str


Typed = Data | Size | Seen
Told = Data | Over | Hello


def pack(message: Typed | Told) -> bytes:
    """One message as bytes."""
    match message:
        case Data(data):
            return bytes((_DATA,)) + data
        case Size(columns, rows):
            return bytes((_SIZE,)) + _SIZES.pack(columns, rows)
        case Seen(count):
            return bytes((_SEEN,)) + _COUNT.pack(count)
        case Over(reason):
            return bytes((_OVER, _REASONS.index(reason)))
        case Hello(instance):
            return bytes((_HELLO,)) + instance.encode()


def typed(message: bytes) -> Typed:
    """A message of a page. Raises FrameError."""
    if not 0 < len(message) <= LONGEST_TYPED:
        raise FrameError(f"a message has 1 to {LONGEST_TYPED} bytes")
    kind, body = message[0], message[1:]
    if kind == _DATA and body:
        return Data(body)
    if kind == _SIZE and len(body) == _SIZES.size:
        columns, rows = _SIZES.unpack(body)
        if 0 < columns <= MOST_CELLS and 0 < rows <= MOST_CELLS:
            return Size(columns, rows)
    if kind == _SEEN and len(body) == _COUNT.size:
        (count,) = _COUNT.unpack(body)
        if 0 < count <= WINDOW:
            return Seen(count)
    raise FrameError("this is no message of a page")


def told(message: bytes) -> Told:
    """A message of a shell. Raises FrameError."""
    if not 0 < len(message) <= LONGEST_TOLD:
        raise FrameError(f"a message has 1 to {LONGEST_TOLD} bytes")
    kind, body = message[0], message[1:]
    if kind == _DATA and body:
        return Data(body)
    if kind == _OVER and len(body) == 1 and body[0] < len(_REASONS):
        return Over(_REASONS[body[0]])
    if kind == _HELLO and _INSTANCE.fullmatch(body):
        return Hello(body.decode())
    raise FrameError("this is no message of a shell")
