"""When all checks count as holding: together, without a break, in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ovenbird_device.health.check import Look
from ovenbird_device.health.watch import Watch


@dataclass
class Scripted:
    """A check that finds what it is told, look by look; the last one for ever."""

    name: str
    finds: list[bool]
    every_s: float = 0.02
    timeout_s: float = 5.0
    kind: str = "recipe"
    times: list[float] = field(default_factory=list[float])

    async def look(self) -> Look:
        self.times.append(time.monotonic())
        return Look(self.finds[min(len(self.times), len(self.finds)) - 1])


class Raises(Scripted):
    async def look(self) -> Look:
        raise RuntimeError("no idea")


class Sleeps(Scripted):
    async def look(self) -> Look:
        await asyncio.sleep(3600)
        return Look(True)


def settle(checks: Iterable[Scripted], seconds: float, hold: float = 0.0) -> tuple[bool, float, str]:
    async def run() -> tuple[bool, float, str]:
        watch = Watch(list(checks), hold=hold)
        begin = time.monotonic()
        with watch.running():
            return await watch.settled(begin + seconds), time.monotonic() - begin, watch.complaint()

    return asyncio.run(run())


def test_no_checks_hold_at_once() -> None:
    assert settle([], 1)[0]


def test_one_that_never_holds_keeps_all_from_settling() -> None:
    settled, took, complaint = settle([Scripted("good", [True]), Scripted("bad", [False])], 0.5)
    assert not settled
    assert 0.5 <= took < 2
    assert complaint == "bad: "


def test_what_raises_or_sleeps_does_not_hold() -> None:
    settled, _, complaint = settle([Raises("a", []), Sleeps("b", [], timeout_s=0.1)], 0.5)
    assert not settled
    assert complaint == "a: could not be looked at: no idea; b: took longer than 0.1 s"


def test_they_must_hold_together_and_without_a_break() -> None:
    flapping = Scripted("flapping", [True, True, False, True, True, True, False, True])
    hold = 1.5  # No stall of a busy machine is as long.
    settled, took, _ = settle([flapping, Scripted("good", [True])], 20, hold=hold)
    assert settled
    assert len(flapping.times) > 8
    assert took >= flapping.times[7] - flapping.times[0] + hold


def test_a_late_one_is_waited_for() -> None:
    settled, took, _ = settle([Scripted("late", [False] * 10 + [True]), Scripted("good", [True], every_s=60)], 10)
    assert settled
    assert took < 5


def test_it_can_be_stopped_from_outside() -> None:
    async def run() -> bool:
        watch = Watch([Scripted("bad", [False])], hold=0)
        with watch.running():
            return await watch.settled(time.monotonic() + 60, lambda: True)

    assert not asyncio.run(run())


def test_changes_are_told_and_reports_are_complete() -> None:
    told: list[str] = []

    async def run() -> None:
        watch = Watch([Scripted("one", [False, True])], lambda: told.append(watch.reports()[0].state), hold=0)
        assert [report.state for report in watch.reports()] == ["waiting"]
        with watch.running():
            assert await watch.settled(time.monotonic() + 10)

    asyncio.run(run())
    assert told == ["failing", "ok"]
