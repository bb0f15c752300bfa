"""What happened to a job, in order, for those who follow it: numbered, so that a listener can pick up where it was."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import msgspec

from ...update.snapshot import Update

_KEPT = 256


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. `done` and `total` are bytes."""

    id: int
    state: str
    text: str = ""
    part: str = ""
    done: int = 0
    total: int = 0
    reason: str = ""


class Events:
    """The events of one job. Progress replaces earlier progress of the same kind, so memory stays small."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0
        self._news = asyncio.Event()
        self.over = False

    def add(
        self, state: str, text: str = "", *, part: str = "", done: int = 0, total: int = 0, reason: str = ""
    ) -> None:
        """Something happened."""
        self._number += 1
        event = Event(id=self._number, state=state, text=text, part=part, done=done, total=total, reason=reason)
        if self._kept and total and _same(self._kept[-1], event):
            self._kept.pop()
        self._kept.append(event)
        self._wake()

    def end(self) -> None:
        """Nothing more will happen."""
        self.over = True
        self._wake()

    def since(self, number: int) -> list[Event]:
        """The events after that number, oldest first."""
        return [event for event in self._kept if event.id > number]

    async def follow(self, number: int = 0) -> AsyncIterator[Event]:
        """Every event after that number, as they come, until the end."""
        while True:
            news = self._news
            for event in self.since(number):
                number = event.id
                yield event
            if self.over and not self.since(number):
                return
            if news is self._news:
                await news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _same(one: Event, other: Event) -> bool:
    return (one.state, one.part) == (other.state, other.part) and bool(one.total)


def tell(events: Events, before: Update | None, now: Update) -> None:
    """Put into words what the steward's next snapshot adds to the one before."""
    if before is None:
        events.add("begun", "The upload begins.")
    if now.version and (before is None or not before.version):
        events.add("accepted", f"Version {now.version} is welcome; it goes into slot {now.slot}.")
    if now.state == "armed":
        events.add("armed", f"Slot {now.slot} is written and verified; the next start tries it.")
    elif now.state == "failed":
        events.add("failed", now.message, reason=now.reason)
    elif now.state == "paused":
        if before is None or before.state != "paused":
            events.add("paused", f"The connection was lost at byte {now.received}.")
    elif before is not None and before.state == "paused":
        events.add("resumed", f"The upload goes on at byte {now.received}.")
    elif now.total:
        state = "verifying" if now.state == "verifying" else "writing"
        events.add(state, part=now.part, done=now.done, total=now.total)
