"""Looking at all checks at once, again and again, until they have all held together for a while.

Every check goes at its own pace and knows nothing of the others. What was found is published at each change; a
publication that fails changes nothing. Times are seconds of the monotonic clock: what the wall clock says, and whether
it jumps, does not matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from .check import Check, Look
from .report import CheckReport

HOLD = 10.0
"""How long all must hold without a break. Longer than a unit takes to be started again after a crash."""
IMPATIENT = 2.0
"""The longest pause after a look that did not find the check holding."""


class Entry:
    """One check and what the last look at it found."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.last: Look | None = None
        self.looks = 0
        self.at: float | None = None
        self.since: float | None = None
        """Since when it has held without a break; None if it does not."""

    def report(self) -> CheckReport:
        """For page and JSON."""
        state = "waiting" if self.last is None else "ok" if self.last.ok else "failing"
        return CheckReport(
            name=self.check.name,
            kind=self.check.kind,
            state=state,
            detail=self.last.detail if self.last else "",
            looks=self.looks,
            at_s=None if self.at is None else round(self.at, 1),
        )


class Watch:
    """The checks being looked at; enter `running()` to begin."""

    def __init__(
        self, checks: Sequence[Check], changed: Callable[[], None] = lambda: None, *, hold: float = HOLD
    ) -> None:
        """`changed` is called whenever a report has changed."""
        self.entries = [Entry(check) for check in checks]
        self._changed = changed
        self._hold = hold
        self._news = asyncio.Event()

    def reports(self) -> tuple[CheckReport, ...]:
        """What was found so far, in the order of the checks."""
        return tuple(entry.report() for entry in self.entries)

    def complaint(self) -> str:
        """What does not hold, in one line; empty if all does."""
        return "; ".join(
            f"{entry.check.name}: {entry.last.detail if entry.last else 'has not answered yet'}"
            for entry in self.entries
            if entry.since is None
        )

    @contextmanager
    def running(self) -> Generator[Watch]:
        """Look at the checks meanwhile. Must be entered inside of an event loop."""
        tasks = [asyncio.ensure_future(self._follow(entry)) for entry in self.entries]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()

    async def settled(self, deadline: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all hold (True), or until the deadline, or until `stop()`, which is asked about once a second."""
        while True:
            now = time.monotonic()
            left = self._missing(now)
            if left is not None and left <= 0:
                return True
            if now >= deadline or stop():
                return False
            pause = min(deadline - now, 1.0 if left is None else min(left, 1.0))
            try:
                await asyncio.wait_for(self._news.wait(), max(pause, 0.01))
            except TimeoutError:
                continue
            self._news.clear()

    async def all_hold(self, deadline: float) -> None:
        """Wait until the last look at each found it holding, or until the deadline."""
        while time.monotonic() < deadline and any(entry.since is None for entry in self.entries):
            await asyncio.sleep(0.2)

    def _missing(self, now: float) -> float | None:
        """Seconds until all have held long enough; None while one does not hold."""
        starts = [entry.since for entry in self.entries]
        if None in starts:
            return None
        return max((start + self._hold - now for start in starts if start is not None), default=0.0)

    async def _follow(self, entry: Entry) -> None:
        while True:
            begin = time.monotonic()
            found = await self._look(entry.check)
            if not found.ok:
                entry.since = None
            elif entry.since is None:
                entry.since = begin
            news = entry.last != found
            entry.last = found
            entry.looks += 1
            entry.at = time.monotonic()
            if news:
                self._changed()
            self._news.set()
            await asyncio.sleep(entry.check.every_s if found.ok else min(entry.check.every_s, IMPATIENT))

    async def _look(self, check: Check) -> Look:
        """One look, cut off when it takes too long. Whatever goes wrong in it means that the check does not hold."""
        try:
            return await asyncio.wait_for(check.look(), check.timeout_s)
        except TimeoutError:
            return Look(False, f"took longer than {check.timeout_s:g} s")
        except Exception as error:
            return Look(False, f"could not be looked at: {error}")
