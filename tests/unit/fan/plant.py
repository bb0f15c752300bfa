"""A machine with a fan, simulated: heat that comes in, heat that leaves faster when the fan turns.

A body of one heat capacity: C dT/dt = P - (still + moved * speed) * (T - ambient), sampled as the daemon does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ovenbird_device.fan.law import Law, Memory, decide

STEP = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Plant:
    """One machine."""

    capacity: float = 30.0  # J/K
    still: float = 0.08  # W/K without the fan
    moved: float = 0.22  # W/K more at full speed
    ambient: float = 25.0

    def resting(self, power: float, speed: float) -> float:
        """The temperature that it settles at, at a speed in percent."""
        return self.ambient + power / (self.still + self.moved * speed / 100)

    def after(self, celsius: float, power: float, speed: float, seconds: float) -> float:
        """The temperature a little later."""
        leaving = (self.still + self.moved * speed / 100) * (celsius - self.ambient)
        return celsius + (power - leaving) / self.capacity * seconds


@dataclass(frozen=True, slots=True)
class Moment:
    """The machine at one turn of the daemon."""

    seconds: float
    celsius: float
    speed: int
    target: int


def live(
    plant: Plant, law: Law, power: Callable[[float], float], seconds: float, *, interval: float, celsius: float = 25.0
) -> list[Moment]:
    """Let it live for a while with a fan that begins at full speed."""
    memory, moments, now, elapsed = Memory(), list[Moment](), 0.0, 0.0
    while now < seconds:
        memory, decision = decide(law, memory, celsius, elapsed)
        moments.append(Moment(now, celsius, decision.speed, memory.target))
        elapsed = min(interval, decision.again)
        end = now + elapsed
        while now < end:
            step = min(STEP, end - now)
            celsius = plant.after(celsius, power(now), decision.speed, step)
            now += step
        now = end
    return moments
