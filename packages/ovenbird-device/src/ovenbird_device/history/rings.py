"""Series of equal steps in rings of fixed size: 12 hours at two samples a minute are 46 KB for all of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Final

STEP_S: Final = 30.0
KEPT: Final = int(12 * 3600 / STEP_S)
SERIES: Final = ("cpu", "memory", "temperature", "data", "disk_read", "disk_write", "net_in", "net_out")
"""`cpu` is a share of all cores (0 to 1), `temperature` degrees Celsius, `memory` and `data` bytes, the rest bytes a
second.
"""


class Rings:
    """The newest samples of every series. A gap (the machine slept, a sensor is gone) is NaN."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._values = {name: array("f", [math.nan]) * kept for name in SERIES}
        self._next = 0
        self.count = 0

    def add(self, values: Mapping[str, float | None]) -> None:
        """The next sample; what is missing or None is a gap."""
        for name, ring in self._values.items():
            value = values.get(name)
            ring[self._next] = math.nan if value is None else value
        self._next = (self._next + 1) % self._kept
        self.count = min(self.count + 1, self._kept)

    def skip(self, steps: int) -> None:
        """So many samples were not taken."""
        for _ in range(min(steps, self._kept)):
            self.add({})

    def series(self, name: str) -> list[float | None]:
        """A series, oldest first. Raises KeyError for one that is none."""
        ring = self._values[name]
        ordered = [*ring[self._next :], *ring[: self._next]][self._kept - self.count :]
        return [None if math.isnan(value) else float(f"{value:.6g}") for value in ordered]
