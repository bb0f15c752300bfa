"""A device's log lines: those that it has, page by page, and those that come, over connections that may break.

The cursor of a line is its place in the device's journal. A reader that was cut off names the last one that it has and
gets what follows, so a line is shown once and none is lost that the journal still has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import msgspec

from ovenbird.deliver import events
from ovenbird.deliver.console import Console, service_path
from ovenbird.deliver.link import DeviceError
from ovenbird.errors import NetworkError, UsageError
from ovenbird_device.logs.line import Line
from ovenbird_device.logs.query import LEVELS
from ovenbird_device.logs.reader import Page

PAGE = 1000
"""Lines that are asked for at once."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
_NOT_YET = 503
_LATEST = 253e9  # the year 9987: more is no time
_SHORT = {"error": "err", "warn": "warning", "critical": "crit", "emergency": "emerg"}
_STYLE = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is wanted: of one app or unit or (without a name) of all, how many of the last lines, of which
    importance and above, of which boot (0 this one, -1 the one before, None: all), with which text.
    """

    name: str | None = None
    lines: int = 200
    level: str | None = None
    boot: int | None = None
    text: str | None = None

    @classmethod
    def of(
        cls,
        name: str | None,
        lines: int,
        level: str | None,
        *,
        since_boot: bool,
        previous: bool,
        follow: bool,
        text: str | None,
    ) -> Self:
        """What a user asks for. Raises UsageError for what cannot be."""
        if previous and (since_boot or follow):
            raise UsageError("the boot before this one has ended: --previous goes with neither --since-boot nor -f")
        if level is not None:
            level = LEVELS[int(level)] if level in tuple("01234567") else _SHORT.get(level, level)
            if level not in LEVELS:
                raise UsageError(f"there is no level {level}", hint=f"levels are {', '.join(LEVELS)}")
        return cls(name, lines, level, -1 if previous else 0 if since_boot else None, text)

    @property
    def path(self) -> str:
        """The URL."""
        return f"{service_path(self.name)}/logs" if self.name else "/logs"

    def query(self, lines: int) -> dict[str, str]:
        """Its parameters, for so many lines."""
        found = {
            "lines": str(lines),
            "level": self.level,
            "boot": None if self.boot is None else str(self.boot),
            "text": self.text,
        }
        return {name: value for name, value in found.items() if value is not None}


def last(console: Console, wanted: Wanted) -> list[Line]:
    """The last lines that the device has, oldest first; more than a page in several questions."""
    pages: list[list[Line]] = []
    missing, before = wanted.lines, ""
    while missing > 0:
        query = wanted.query(min(missing, PAGE)) | ({"before": before} if before else {})
        page = console.read(wanted.path, query, Page)
        pages.append(page.lines[-missing:])
        missing -= len(page.lines)
        older = page.before or (page.lines[0].cursor if page.lines else "")
        if not page.more or older in ("", before):
            break
        before = older
    return [line for page in reversed(pages) for line in page]


def follow(console: Console, wanted: Wanted, tell: Callable[[str], None], *, after: str = "") -> Iterator[Line]:
    """The last lines (or those behind the cursor `after`), and then each as it comes, for ever. `tell` is told when the
    connection breaks and is back.

    Raises NetworkError if the very first connection fails, DeviceError if the device says no.
    """
    cursor, pause, broken = after, 0.0, False
    known = False
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        try:
            with console.listen(wanted.path, wanted.query(wanted.lines), headers) as pieces:
                known = True
                if broken:
                    tell("connected again")
                    broken = False
                trouble = "the device ended the connection"
                for event in events.read(pieces):
                    if event.kind == "trouble":
                        trouble = event.data
                        continue
                    pause = 0.0
                    line = _line(event)
                    if line is None or line.cursor == cursor:
                        continue
                    cursor = line.cursor
                    yield line
        except NetworkError as error:
            if not known:
                raise
            trouble = error.message.removeprefix(f"{console.target.name} ")
        except DeviceError as error:
            if not known or error.status != _NOT_YET:
                raise
            trouble = error.message.removeprefix(f"{console.target.name}: ")
        if not broken:
            tell(f"{trouble}; trying again")
        broken = True
        pause = min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE)
        time.sleep(pause)


def _line(event: events.Event) -> Line | None:
    """The line in an event; None for events of another kind."""
    if event.kind != "message":
        return None
    try:
        return msgspec.json.decode(event.data, type=Line)
    except msgspec.MsgspecError:
        return None


def printable(line: Line, *, source: bool) -> str:
    """A line for a terminal: time, with `source` who wrote it, text. What could steer the terminal is made harmless."""
    when = datetime.fromtimestamp(min(max(line.time / 1e6, 0), _LATEST)).astimezone()
    who = f"{line.source or line.unit}: " if source and (line.source or line.unit) else ""
    lead = f"{when:%b %d %H:%M:%S} {harmless(who)}"
    first, *rest = harmless(line.text).split("\n")
    return "\n".join([f"{lead}{first}", *(f"{' ' * len(lead)}{one}" for one in rest)])


def harmless(text: str) -> str:
    """Text from elsewhere for a terminal: without its colours, other control characters as `\\x1b`."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _STYLE.sub("", text))
