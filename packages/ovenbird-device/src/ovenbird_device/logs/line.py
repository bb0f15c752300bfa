"""A line of the journal: how `journalctl -o json` writes it, and how readers get it.

The format is systemd's journal JSON: every field is a string, or null where it was too large, or a list of numbers
where it is no UTF-8, or a list of those where the entry has the field several times. What comes out is a plain text
of bounded length without the characters that could steer a terminal.
"""

from __future__ import annotations

import re
from functools import cached_property

import msgspec

LONGEST = 16 * 1024
"""Characters of a line's text; what is longer is cut."""
FIELDS = (
    "MESSAGE",
    "PRIORITY",
    "_PID",
    "SYSLOG_IDENTIFIER",
    "_SYSTEMD_UNIT",
    "UNIT",
    "OBJECT_SYSTEMD_UNIT",
)
"""What journalctl is asked for. Cursor, times and boot come unasked."""

_INFORMATION = 6
_CURSOR = re.compile(r"[a-z]=[0-9a-f]{1,32}(?:;[a-z]=[0-9a-f]{1,32}){0,7}\Z")
_STYLE = re.compile(r"\x1b(?:\[[0-9;:?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_Field = str | list[int | str | list[int] | None] | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line as readers get it. `time` is microseconds since 1970 by the device's clock, `level` syslog's 0 to 7."""

    cursor: str
    time: int
    level: int
    text: str
    pid: int | None
    unit: str
    source: str
    """What the writer calls itself."""


class _Raw(msgspec.Struct):
    cursor: str = msgspec.field(name="__CURSOR")
    time: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: _Field = msgspec.field(name="MESSAGE", default="")
    priority: _Field = msgspec.field(name="PRIORITY", default=None)
    pid: _Field = msgspec.field(name="_PID", default=None)
    source: _Field = msgspec.field(name="SYSLOG_IDENTIFIER", default=None)
    unit: _Field = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    about: _Field = msgspec.field(name="UNIT", default=None)
    target: _Field = msgspec.field(name="OBJECT_SYSTEMD_UNIT", default=None)


_DECODER = msgspec.json.Decoder(_Raw)


class Entry(msgspec.Struct, frozen=True, dict=True):
    """A line, and what is needed to choose and order it."""

    line: Line
    units: tuple[str, ...]
    """The units that it is from or about."""
    writer: str
    number: int
    """Its place among all that `writer` (one journal's life) took; the larger, the later."""

    @cached_property
    def event(self) -> bytes:
        """The line as a server-sent event; made once for all readers."""
        return f"id: {self.line.cursor}\ndata: ".encode() + msgspec.json.encode(self.line) + b"\n\n"

    @property
    def weight(self) -> int:
        """Bytes of memory, more or less, with its event."""
        return 900 + 4 * len(self.line.text)

    def after(self, other: Entry) -> bool:
        """Whether it came later than another."""
        if self.writer == other.writer:
            return self.number > other.number
        return self.line.time > other.line.time


def decode(raw: bytes) -> Entry | None:
    """The entry in a line of journalctl's output; None for what is none."""
    try:
        found = _DECODER.decode(raw)
        time = int(found.time)
    except (msgspec.DecodeError, ValueError):
        return None
    writer, number = _place(found.cursor)
    own, about, target = _text(found.unit), _text(found.about), _text(found.target)
    line = Line(
        cursor=found.cursor,
        time=time,
        level=_level(_text(found.priority)),
        text=_clean(_message(found.message)),
        pid=_number(_text(found.pid)),
        unit=target or about or own,
        source=_clean(_text(found.source)[:100]),
    )
    return Entry(line, tuple({one: None for one in (own, about, target) if one}), writer, number)


def is_cursor(text: str) -> bool:
    """Whether a text can be a cursor: `s=…;i=…;b=…;m=…;t=…;x=…`."""
    return _CURSOR.match(text) is not None


def _place(cursor: str) -> tuple[str, int]:
    parts = {part[:2]: part[2:] for part in cursor.split(";")}
    try:
        return parts.get("s=", ""), int(parts.get("i=", ""), 16)
    except ValueError:
        return "", 0


def _message(field: _Field) -> str:
    return "(too long for the journal to tell)" if field is None else _text(field)


def _text(field: _Field) -> str:
    """A field's (first) value."""
    if field is None or isinstance(field, str):
        return field or ""
    if all(isinstance(one, int) for one in field):
        return bytes(one & 255 for one in field if isinstance(one, int)).decode("utf-8", "replace")
    first = field[0]
    if isinstance(first, list):
        return bytes(one & 255 for one in first).decode("utf-8", "replace")
    return first if isinstance(first, str) else ""


def _clean(text: str) -> str:
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    return text if text.isprintable() else _CONTROL.sub("", _STYLE.sub("", text)).rstrip("\n")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _level(text: str) -> int:
    return int(text) if text in ("0", "1", "2", "3", "4", "5", "6", "7") else _INFORMATION
