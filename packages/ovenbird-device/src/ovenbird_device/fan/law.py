"""The law: how fast the fan turns, out of what the sensors said. A pure function of readings and time.

Two things keep a fan from hunting. What counts is the hottest reading of a window, so the fan is fast at once and slow
only after a while. And a level follows that reading: at once when it rises, but when it falls, only at a distance (the
hysteresis), so what wavers within it changes nothing.

A fan that stood still is started at full speed for a moment (the kick), as few start at a low one.

A temperature that cannot be read counts as the hottest there is.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

FULL = 100
"""Percent."""
UNREADABLE = math.inf


class Point(NamedTuple):
    """A speed in percent from a temperature on."""

    celsius: float
    percent: int


class Law(NamedTuple):
    """What somebody set. `points` rise, in temperature strictly; between them lies a line, or with `steps` nothing."""

    points: tuple[Point, ...]
    steps: bool = False
    hysteresis: float = 3.0
    """°C."""
    minimum: int = 0
    """Percent: the slowest that the fan is run at; what is asked for below it, but not zero, becomes this."""
    kick: float = 1.0
    """Seconds at full speed after standing still."""
    window: float = 30.0
    """Seconds."""

    def target(self, celsius: float) -> int:
        """The speed that belongs to a temperature: rises with it, and is full for one that could not be read."""
        if celsius == UNREADABLE:
            return FULL
        above = bisect_right(self.points, celsius, key=lambda point: point.celsius)
        if above == 0:
            asked: float = 0 if self.steps else self.points[0].percent
        elif above == len(self.points) or self.steps:
            asked = self.points[above - 1].percent
        else:
            low, high = self.points[above - 1], self.points[above]
            share = (celsius - low.celsius) / (high.celsius - low.celsius)
            asked = low.percent + share * (high.percent - low.percent)
        if asked <= 0:
            return 0
        return max(self.minimum, math.ceil(asked - 1e-9), 1)


class Memory(NamedTuple):
    """What the law knows of before. A new one is that of a fan that runs at full speed."""

    readings: tuple[tuple[float, float], ...] = ()
    """(age in seconds, °C) of the readings that no later one exceeds, oldest and hottest first."""
    level: float | None = None
    """The temperature that the speed belongs to."""
    target: int = FULL
    kick: float = 0.0
    """Seconds that are left of the kick."""


class Decision(NamedTuple):
    """What is to be done."""

    speed: int
    """Percent."""
    hottest: float
    """Of the window, °C; UNREADABLE if one of its temperatures could not be read."""
    again: float
    """Seconds until the law wants to be asked again, whatever the interval is; infinite if it does not mind."""


def decide(law: Law, memory: Memory, celsius: float | None, elapsed: float) -> tuple[Memory, Decision]:
    """The speed now, `elapsed` seconds after the time before, and what to remember. None: it could not be read."""
    reading = UNREADABLE if celsius is None else celsius
    kept = ((age + elapsed, value) for age, value in memory.readings if age + elapsed < law.window and value > reading)
    readings = (*kept, (0.0, reading))
    hottest = readings[0][1]
    before = hottest if memory.level is None else memory.level
    level = min(max(before, hottest), hottest + law.hysteresis)
    target = law.target(level)
    kick = 0.0
    if target > 0:
        kick = law.kick if memory.target == 0 else max(0.0, memory.kick - elapsed)
    speed = FULL if kick > 0 else target
    decision = Decision(speed, hottest, kick if kick > 0 else math.inf)
    return Memory(readings, level, target, kick), decision
