"""New lines of the journal for all who follow: one `journalctl --follow` for everybody, while there is anybody.

The newest entries lie in a ring of bounded size that all readers share; each has only its place in it. Who falls so far
behind that the ring has moved on reads the journal itself from its last line on, as does who comes back with the
cursor of the last line that it got. So nobody loses a line that the journal has, and nobody can make the agent grow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from .line import Entry
from .query import Query
from .reader import Journal, LogsError

RING = 2 << 20
"""Bytes of the newest entries."""
_BATCH = 1000
_FIRST = 1.0
"""Seconds in which a follower that has anything to tell shows its first line."""
_AGAIN = 1.0


class Follower:
    """Follows the whole journal while somebody reads."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._ring: deque[Entry] = deque()
        self.weight = 0
        self._number = 0
        """How many entries ever came; the last one in the ring has this number."""
        self._news = asyncio.Event()
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.readers = 0
        self._over = False

    def end(self) -> None:
        """The agent ends: let all who wait for lines go."""
        self._over = True
        self._wake()

    async def follow(
        self, query: Query, lines: int, cursor: str = "", beat: float = 15.0
    ) -> AsyncGenerator[list[Entry]]:
        """What is wanted: the last `lines`, or all after a cursor, and then what comes, for ever.

        An empty list stands for `beat` seconds without any. Raises LogsError.
        """
        async with self._reading():
            number, place = self._number, self._ring[-1] if self._ring else None
            # As long as journalctl has not shown its first line, it may begin anywhere: what came until then is read.
            blind = not self._there.is_set()
            last: Entry | None = None
            if cursor:
                behind = True
            else:
                if blind:
                    place = next(iter(await self.journal.newest(1)), None)
                begun, _ = await self.journal.last(query, lines)
                last = begun[-1] if begun else place
                behind = False
                if begun:
                    yield begun
            while True:
                if blind and self._there.is_set():
                    blind, behind = False, True
                if behind or number < self._number - len(self._ring):
                    number, over = self._number, False
                    while not over:
                        found, over = await self.journal.after(query, last.line.cursor if last else cursor, _BATCH)
                        if found:
                            last = found[-1]
                            yield found
                    behind = False
                news = self._news
                fresh = self._since(number)
                number = self._number
                wanted = [one for one in fresh if query.wants(one) and (last is None or one.after(last))]
                if wanted:
                    last = wanted[-1]
                    yield wanted
                    continue
                if self._over:
                    return
                if news is not self._news:
                    continue
                try:
                    await asyncio.wait_for(news.wait(), beat)
                except TimeoutError:
                    yield []

    def _since(self, number: int) -> list[Entry]:
        count = min(self._number - number, len(self._ring))
        if count <= 0:
            return []
        return [self._ring[index] for index in range(len(self._ring) - count, len(self._ring))]

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[None]:
        """A reader more; the first one starts journalctl, the last one ends it."""
        self.readers += 1
        try:
            if self._task is None:
                self._there.clear()
                self._task = asyncio.create_task(self._run())
            # An empty journal has no line to show that it is followed.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._there.wait(), _FIRST)
            yield
        finally:
            self.readers -= 1
            if not self.readers and self._task is not None:
                task, self._task = self._task, None
                self._ring.clear()
                self.weight = 0
                task.cancel()
                await asyncio.wait([task])  # until its journalctl is gone

    async def _run(self) -> None:
        """Keep a journalctl running. Where it ended, the next one goes on behind its last line."""
        cursor = ""
        while True:
            start = [f"--cursor={cursor}", "--no-tail"] if cursor else ["--lines=1"]
            try:
                async with self.journal.running(["--follow", *start]) as entries:
                    async for entry in entries:
                        if entry.line.cursor != cursor:
                            cursor = entry.line.cursor
                            self._add(entry)
                        self._there.set()
            except LogsError:
                pass  # every reader has been told the same by its own first look
            await asyncio.sleep(_AGAIN)

    def _add(self, entry: Entry) -> None:
        self._ring.append(entry)
        self.weight += entry.weight
        self._number += 1
        while self.weight > RING and len(self._ring) > 1:
            self.weight -= self._ring.popleft().weight
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
