"""The logs of several devices as one: merged by time, or as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ovenbird.deliver import logs
from ovenbird.deliver.access import Ask, with_password
from ovenbird.deliver.console import Console
from ovenbird.deliver.each import Result, Unknown, each, find, in_turn
from ovenbird.deliver.logs import Wanted
from ovenbird.deliver.target import Target
from ovenbird.errors import OvenbirdError
from ovenbird_device.logs.line import Line


@dataclass(frozen=True, slots=True)
class Said:
    """A line, or a note about the connection, of one device; or an error, its last word."""

    name: str
    line: Line | None = None
    note: str = ""
    error: OvenbirdError | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """How lines are written: with the device's name where there are `several`, with who wrote it (`source`), or as
    JSON.
    """

    several: bool
    source: bool
    as_json: bool

    def line(self, said: Said) -> str:
        """One line. Nothing in it can steer a terminal."""
        if said.line is None:
            return ""
        if self.as_json:
            return msgspec.json.encode({"target": said.name, **msgspec.to_builtins(said.line)}).decode()
        text = logs.printable(said.line, source=self.source)
        return f"{said.name}: {text}" if self.several else text


def last(texts: Sequence[str], wanted: Wanted, ask: Ask) -> tuple[list[Said], list[Result[list[Line]]]]:
    """The last lines of all devices, oldest first, and what became of each device."""

    def work(target: Target, ask: Ask) -> list[Line]:
        def attempt(target: Target) -> list[Line]:
            with Console(target) as console:
                return logs.last(console, wanted)

        return with_password(target, ask, attempt, needed=False)

    results = each(texts, work, ask)
    found = [Said(result.name, line) for result in results for line in result.value or ()]
    if len(results) > 1:
        found.sort(key=lambda one: one.line.time if one.line else 0)
    return found, results


def follow(texts: Sequence[str], wanted: Wanted, ask: Ask) -> Iterator[Said]:
    """What they say, as they say it; ends when none can say any more. Raises UsageError for what names no device."""
    news: queue.Queue[Said] = queue.Queue(maxsize=1000)
    polite = in_turn(ask)
    places = find(texts)

    def work(place: Target | Unknown) -> None:
        try:
            if isinstance(place, Unknown):
                raise place.error
            with_password(place, polite, listen, needed=False)
        except OvenbirdError as error:
            news.put(Said(place.name, error=error))

    def listen(target: Target) -> None:
        with Console(target) as console:
            for line in logs.follow(console, wanted, lambda text: news.put(Said(target.name, note=text))):
                news.put(Said(target.name, line))

    for place in places:
        threading.Thread(target=work, args=(place,), daemon=True).start()
    left = len(places)
    while left:
        one = news.get()
        left -= one.error is not None
        yield one
