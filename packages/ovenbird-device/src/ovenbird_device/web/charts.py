"""The graphs: each drawn here as a small SVG, so that it needs no script and weighs next to nothing.

A graph shows the last 12 hours, or less while the device has been up for less. Its paths have whole coordinates in a
box of WIDTH x HEIGHT; what a point stands for can be worked out of them, which is what `charts.js` does under a
pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..history.rings import STEP_S
from ..history.sampler import Sampler
from . import view

WIDTH, HEIGHT = 720, 200
_POINTS = 180
_MINUS = "\N{MINUS SIGN}"
_WINDOWS = (0.5, 1.0, 3.0, 6.0, 12.0)  # hours


class Curve(msgspec.Struct, frozen=True):
    """One line of a graph."""

    name: str
    now: str
    line: str
    """The path's `d`."""
    area: str


class Chart(msgspec.Struct, frozen=True):
    """One graph. `low` and `high` are the values of its lower and upper edge, in `unit`."""

    name: str
    unit: str
    low: float
    high: float
    top: str
    """The upper edge for people."""
    curves: tuple[Curve, ...]


class ChartsView(msgspec.Struct, frozen=True):
    """All graphs of a page."""

    title: str
    seconds: int
    """From the left edge to the right one."""
    marks: tuple[str, ...]
    charts: tuple[Chart, ...]


def charts(sampler: Sampler) -> ChartsView:
    """The graphs of this machine's history."""
    rings = sampler.rings
    have = rings.count * STEP_S / 3600
    hours = next((window for window in _WINDOWS if have <= window), _WINDOWS[-1])
    steps = int(hours * 3600 / STEP_S)
    series = {
        name: rings.series(name)[-steps:]
        for name in ("cpu", "memory", "temperature", "disk_read", "disk_write", "net_in", "net_out")
    }
    made = [
        _chart("Processor", "share", steps, [("", series["cpu"])], 0, 1),
        _chart("Memory", "bytes", steps, [("", series["memory"])], 0, float(sampler.memory_total or 1)),
        _heat(steps, series["temperature"]),
        _rates("Disk", steps, [("read", series["disk_read"]), ("written", series["disk_write"])]),
        _rates("Network", steps, [("in", series["net_in"]), ("out", series["net_out"])]),
    ]
    return ChartsView(_title(hours), int(hours * 3600), _marks(hours), tuple(one for one in made if one is not None))


def _title(hours: float) -> str:
    if hours < 1:
        return "The last half hour"
    return "The last hour" if hours == 1 else f"The last {hours:.0f} hours"


def _marks(hours: float) -> tuple[str, ...]:
    def word(part: float) -> str:
        minutes = round(hours * 60 * part)
        return f"{_MINUS}{minutes // 60} h" if minutes % 60 == 0 else f"{_MINUS}{minutes} min"

    return word(1), word(0.5), "now"


def _heat(steps: int, values: Sequence[float | None]) -> Chart | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low = math.floor(min(known) / 10) * 10
    high = max(low + 20, math.ceil(max(known) / 10) * 10)
    return _chart("Temperature", "celsius", steps, [("", values)], low, high)


def _rates(name: str, steps: int, series: Sequence[tuple[str, Sequence[float | None]]]) -> Chart:
    largest = max((value for _, values in series for value in values if value is not None), default=0.0)
    high = 1024.0
    while high < largest:
        high *= 2
    return _chart(name, "rate", steps, series, 0, high)


def _chart(
    name: str, unit: str, steps: int, series: Sequence[tuple[str, Sequence[float | None]]], low: float, high: float
) -> Chart:
    curves: list[Curve] = []
    for label, values in series:
        line, area = paths(thinned(values, steps), low, high)
        newest = next((value for value in reversed(values) if value is not None), None)
        curves.append(Curve(label, "" if newest is None else written(newest, unit), line, area))
    return Chart(name, unit, low, high, written(high, unit), tuple(curves))


def written(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == "share":
        return f"{value * 100:.0f} %"
    if unit == "celsius":
        return f"{value:.0f} °C"
    return view.sized(value) + ("/s" if unit == "rate" else "")


def thinned(values: Sequence[float | None], steps: int) -> list[float | None]:
    """At most 180 points for `steps` samples: the mean of those that fall together. What is missing is at the front."""
    size = max(1, steps // _POINTS)
    padded = [*[None] * (steps - len(values)), *values]
    points: list[float | None] = []
    for start in range(0, steps, size):
        known = [value for value in padded[start : start + size] if value is not None]
        points.append(sum(known) / len(known) if known else None)
    return points


def paths(points: Sequence[float | None], low: float, high: float) -> tuple[str, str]:
    """A line, and the area under it; a gap begins both anew."""
    lines: list[str] = []
    areas: list[str] = []
    run: list[tuple[int, int]] = []
    width = WIDTH / max(1, len(points) - 1)
    for index, value in enumerate([*points, None]):
        if value is not None:
            share = min(1.0, max(0.0, (value - low) / (high - low)))
            run.append((round(index * width), round((1 - share) * HEIGHT)))
        elif run:
            if len(run) == 1:
                run.append((run[0][0] + 1, run[0][1]))  # a single point is a dot
            path = "M" + "L".join(f"{x} {y}" for x, y in run)
            lines.append(path)
            areas.append(f"{path}V{HEIGHT}H{run[0][0]}z")
            run = []
    return "".join(lines), "".join(areas)
