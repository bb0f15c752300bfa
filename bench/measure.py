"""What all measurements share: timing whole commands, and a table of goals."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
OVENBIRD = Path(sys.executable).with_name("ovenbird")
HELLO = ROOT / "examples/hello"


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that was measured. `limit` is what it may be at most; None: only told."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the value is within its limit."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        verdict = "" if self.limit is None else f"   goal {self.limit:g} {'reached' if self.reached else 'MISSED'}"
        return f"  {self.name:58} {self.value:9.3f} {self.unit:5}{verdict}"


@dataclass(slots=True)
class Report:
    """The outcome of one measurement."""

    title: str
    goals: list[Goal] = field(default_factory=list[Goal])

    def add(self, name: str, value: float, unit: str = "s", limit: float | None = None) -> None:
        """Note a value."""
        self.goals.append(Goal(name, value, unit, limit))

    @property
    def reached(self) -> bool:
        """Whether every goal was reached."""
        return all(goal.reached for goal in self.goals)

    def __str__(self) -> str:
        return "\n".join([self.title, *(str(goal) for goal in self.goals)])


def timed(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> float:
    """Seconds that a command takes. What it prints is thrown away unless it fails, which ends the measurement."""
    begin = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-3000:]}")
    return time.monotonic() - begin


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
