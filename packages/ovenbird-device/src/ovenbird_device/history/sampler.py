"""Takes a sample of the machine every half minute. Costs about a millisecond each time, and nothing in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..facts import hardware, parse
from . import counters
from .counters import Counters, Traffic
from .rings import SERIES, STEP_S, Rings


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One series; values oldest first, null for gaps. `unit` is `share`, `bytes`, `celsius` or `bytes_per_second`."""

    name: str
    unit: str
    values: list[float | None]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All series; the last value of each was taken `age_s` seconds ago, the one before `step_s` earlier."""

    step_s: float
    age_s: float
    memory_total: int
    data_total: int
    series: list[Series]


UNITS = {"cpu": "share", "memory": "bytes", "data": "bytes", "temperature": "celsius"}


class Sampler:
    """Keeps the history of this machine."""

    def __init__(self, processes: Path, system: Path, data: Path) -> None:
        self._processes, self._system, self._data = processes, system, data
        self.rings = Rings()
        self._before: tuple[float, Counters] | None = None
        self._taken = time.monotonic()
        self.memory_total = 0
        self.data_total = 0

    async def run(self) -> None:
        """Sample until cancelled. The first sample comes at once, as what the others are compared to."""
        due = time.monotonic()
        while True:
            self.take()
            due += STEP_S
            missed = int((time.monotonic() - due) // STEP_S) + 1
            if missed > 0:  # a suspended machine, or a very busy one
                self.rings.skip(missed)
                due += missed * STEP_S
            await asyncio.sleep(due - time.monotonic())

    def take(self) -> None:
        """Take a sample now."""
        now, counted = time.monotonic(), counters.read(self._processes)
        values: dict[str, float | None] = {}
        if self._before is not None and now > self._before[0]:
            before, seconds = self._before[1], now - self._before[0]
            values["cpu"] = busy(before, counted)
            values["disk_read"], values["disk_write"] = rate(before.disks, counted.disks, seconds)
            values["net_in"], values["net_out"] = rate(before.networks, counted.networks, seconds)
        memory = parse.memory(hardware.text(self._processes / "meminfo"))
        self.memory_total = memory.get("MemTotal", 0)
        if self.memory_total:
            values["memory"] = float(max(0, self.memory_total - memory.get("MemAvailable", 0)))
        sensors = hardware.temperatures(self._system)
        values["temperature"] = sensors[0].celsius if sensors else None
        values["data"] = self._data_used()
        first = self._before is None
        self._before, self._taken = (now, counted), now
        if not first:
            self.rings.add(values)

    def history(self) -> History:
        """Everything, as programs get it."""
        return History(
            step_s=STEP_S,
            age_s=round(time.monotonic() - self._taken, 1),
            memory_total=self.memory_total,
            data_total=self.data_total,
            series=[
                Series(name=name, unit=UNITS.get(name, "bytes_per_second"), values=self.rings.series(name))
                for name in SERIES
            ],
        )

    def _data_used(self) -> float | None:
        try:
            about = os.statvfs(self._data)
        except OSError:
            return None
        self.data_total = about.f_blocks * about.f_frsize
        return float((about.f_blocks - about.f_bfree) * about.f_frsize)


def busy(before: Counters, now: Counters) -> float | None:
    """The share of the cores' time that was not idle."""
    spent = {mode: seconds - before.cpu.get(mode, 0.0) for mode, seconds in now.cpu.items()}
    total = sum(spent.values())
    if total <= 0 or any(seconds < -1 for seconds in spent.values()):
        return None
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return min(1.0, max(0.0, 1 - idle / total))


def rate(
    before: Mapping[str, Traffic], now: Mapping[str, Traffic], seconds: float
) -> tuple[float | None, float | None]:
    """Bytes a second in both directions, of all that were there before; a counter that began anew counts from 0."""
    if not now:
        return None, None
    known = [(before[name], traffic) for name, traffic in now.items() if name in before]
    read = sum(_more(one.read, other.read) for one, other in known)
    written = sum(_more(one.written, other.written) for one, other in known)
    return read / seconds, written / seconds


def _more(before: int, now: int) -> int:
    return now - before if now >= before else now
