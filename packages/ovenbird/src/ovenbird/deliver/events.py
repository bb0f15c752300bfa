"""Server-sent events, read as they come (html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6).

Only what ends a line there ends one here: a JSON text may hold characters at which Python's `splitlines` would part it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 1 << 20
"""Bytes of one line that are kept; a longer one is cut."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the id to go on from, its kind, its data."""

    id: str
    kind: str
    data: str


def read(pieces: Iterable[bytes]) -> Iterator[Event]:
    """The events in a stream that comes in pieces of any size. One that the end cuts off is not an event."""
    last, kind = "", ""
    data: list[str] = []
    for line in _lines(pieces):
        if not line:
            if data:
                yield Event(last, kind or "message", "\n".join(data))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                data.append(value)
            case "event":
                kind = value
            case "id" if "\0" not in value:
                last = value
            case _:
                pass  # a comment that keeps the connection alive, or what is not for us


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = bytearray()
    for piece in pieces:
        *whole, tail = piece.replace(b"\r\n", b"\n").split(b"\n")
        for end in whole:
            rest += end[: LONGEST - len(rest)]
            yield bytes(rest).removesuffix(b"\r").decode("utf-8", "replace")
            rest.clear()
        rest += tail[: LONGEST - len(rest)]
