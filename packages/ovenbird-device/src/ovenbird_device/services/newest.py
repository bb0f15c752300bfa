"""The newest line of each unit, for a list of services. One look at the journal for all, and only at what is new.

The first look goes some way back through the whole journal; an app that said nothing for that long is then asked for
once by itself. Later looks take what came since the one before.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..logs.query import Query
from ..logs.reader import Journal, LogsError

_LOOK_BACK = 2000
_MOST_UNITS = 500
_LONGEST = 300


class Newest:
    """Remembers the newest line of each unit."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lines: dict[str, str] = {}
        self._cursor = ""

    async def look(self, apps: Iterable[str]) -> None:
        """Read what is new. A journal that cannot be read leaves the lines as they are."""
        try:
            entries = await self._journal.newest(_LOOK_BACK, self._cursor)
            if entries:
                self._cursor = entries[0].line.cursor
            fresh: dict[str, str] = {}
            for entry in entries:
                for unit in entry.units:
                    fresh.setdefault(unit, _short(entry.line.text))
            self._lines.update(fresh)
            while len(self._lines) > _MOST_UNITS:
                del self._lines[next(iter(self._lines))]
            for unit in apps:
                if unit not in self._lines:
                    found, _ = await self._journal.last(Query(unit), 1)
                    self._lines[unit] = _short(found[-1].line.text) if found else ""
        except LogsError:
            return

    def of(self, unit: str) -> str:
        """A unit's newest line, as far as known."""
        return self._lines.get(unit, "")


def _short(text: str) -> str:
    first = text.strip().partition("\n")[0]
    return first if len(first) <= _LONGEST else first[:_LONGEST] + " …"
