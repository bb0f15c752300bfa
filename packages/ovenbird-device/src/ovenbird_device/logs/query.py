"""What a reader wants of the journal: checked before any of it reaches a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from .line import Entry, is_cursor

LEVELS: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
USUAL, MOST = 200, 1000
"""Lines that are given unless others are asked for, and at most."""

_LONGEST_TEXT = 200
_OTHER_NAMES = {"error": "err", "warn": "warning", "critical": "crit", "emergency": "emerg"}
_BOOT = re.compile(r"(?:-[1-9][0-9]{0,2}|0)\Z")


class QueryError(ValueError):
    """A question that makes no sense; the message is for people."""


class Query(msgspec.Struct, frozen=True):
    """Which entries: of one unit or of all, of a level or more important, of one boot or all, with a text."""

    unit: str = ""
    level: int = 7
    boot: str = ""
    """`0` for this boot, `-1` for the one before; empty for all."""
    text: str = ""

    def arguments(self) -> list[str]:
        """What journalctl is told. `text` is looked for here: journalctl can do so only where PCRE is installed."""
        found: list[str] = []
        if self.unit:
            found.append(f"--unit={self.unit}")
        if self.level < 7:
            found.append(f"--priority={self.level}")
        if self.boot:
            found.append(f"--boot={self.boot}")
        return found

    def holds(self, entry: Entry) -> bool:
        """Whether the entry has the text."""
        return not self.text or self.text in entry.line.text.casefold()

    def wants(self, entry: Entry) -> bool:
        """Whether the entry is wanted, if it is of the right boot."""
        if self.unit and self.unit not in entry.units:
            return False
        return entry.line.level <= self.level and self.holds(entry)


def parse(values: Mapping[str, str], unit: str = "") -> Query:
    """The question in a URL's parameters. Raises QueryError."""
    boot = values.get("boot", "")
    if boot and not _BOOT.match(boot):
        raise QueryError("A boot is 0 (this one), -1 (the one before), -2 …")
    text = values.get("text", "")
    if len(text) > _LONGEST_TEXT:
        raise QueryError(f"The text to look for has at most {_LONGEST_TEXT} characters.")
    return Query(unit, _level(values.get("level", "")), boot, text.casefold())


def _level(text: str) -> int:
    name = text.lower()
    if not name:
        return 7
    if name in ("0", "1", "2", "3", "4", "5", "6", "7"):
        return int(name)
    name = _OTHER_NAMES.get(name, name)
    if name not in LEVELS:
        raise QueryError(f"A level is one of {', '.join(LEVELS)}, or 0 to 7.")
    return LEVELS.index(name)


def lines(values: Mapping[str, str]) -> int:
    """How many lines are asked for. Raises QueryError."""
    text = values.get("lines", "")
    if not text:
        return USUAL
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise QueryError("The number of lines is a number.")
    return min(int(text), MOST)


def cursor(text: str) -> str:
    """A line's cursor, or nothing. Raises QueryError."""
    if text and not is_cursor(text):
        raise QueryError("That is no cursor of a line.")
    return text
