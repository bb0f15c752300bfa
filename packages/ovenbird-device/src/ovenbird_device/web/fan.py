"""The fan on the overview: its speed in words, its sensors, and its curve as a small graph with where it is now."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..fan.state import FanFacts

WIDTH, HEIGHT = 720, 200
_KINDS = {
    "kernel": "the kernel's governor",
    "chip": "its chip alone",
    "hwmon": "hwmon",
    "pwm": "PWM channel",
    "gpio": "GPIO line",
}


class CurveView(msgspec.Struct, frozen=True):
    """The graph, in a box of WIDTH x HEIGHT."""

    line: str
    area: str
    now: tuple[int, int] | None
    """Where the fan is."""
    low: str
    high: str
    """The temperatures of both edges."""
    words: str
    """The same for who does not see it."""


class FanView(msgspec.Struct, frozen=True):
    """The card."""

    value: str
    note: str
    by: str
    trouble: str
    level: str
    """`calm`, or `hot` where something is wrong."""
    sensors: list[tuple[str, str]]
    curve: CurveView | None


def view(facts: FanFacts | None) -> FanView | None:
    """What the overview shows; None on a device without a fan's controller."""
    if facts is None:
        return None
    wrong = facts.state in ("failsafe", "silent")
    by = f"{_KINDS.get(facts.kind, facts.kind)} {facts.output}".strip() if facts.kind else ""
    return FanView(
        value="unknown" if facts.speed is None else f"{facts.speed} %",
        note=_note(facts),
        by=by,
        trouble=f"{facts.problem}." if facts.problem else "",
        level="hot" if wrong or facts.problem else "calm",
        sensors=[(one.name, "cannot be read" if one.celsius is None else _heat(one.celsius)) for one in facts.sensors],
        curve=_curve(facts),
    )


def _note(facts: FanFacts) -> str:
    turns = f" It makes {facts.rpm} turns a minute." if facts.rpm is not None else ""
    match facts.state:
        case "regulating":
            return f"By its curve{'' if facts.level is None else f', at {_heat(facts.level)}'}.{turns}"
        case "reported":
            return f"{_KINDS[facts.kind].capitalize()} sees to it.{turns}"
        case "testing":
            return f"Runs through its speeds, as was asked for.{turns}"
        case "failsafe":
            return f"At full speed, to be safe.{turns}" if facts.kind else "Nothing drives it."
        case "stopped":
            return "Nobody controls it: its service has ended, and left it at full speed."
        case "silent":
            return "Its service does not tell anything any more."


def _heat(celsius: float) -> str:
    return f"{celsius:.1f} °C"


def _curve(facts: FanFacts) -> CurveView | None:
    """The curve between two whole tens of degrees, with room on both sides for what is flat."""
    if not facts.curve:
        return None
    at = facts.level if facts.level is not None else facts.celsius
    heats = [celsius for celsius, _ in facts.curve] + ([] if at is None else [at])
    low, high = math.floor((min(heats) - 3) / 10) * 10, math.ceil((max(heats) + 3) / 10) * 10
    corners = _corners(facts.curve, low, high, steps=facts.steps)

    def place(celsius: float, percent: float) -> tuple[int, int]:
        share = min(1.0, max(0.0, (celsius - low) / (high - low)))
        return round(share * WIDTH), round((1 - percent / 100) * HEIGHT)

    points = [place(*corner) for corner in corners]
    line = "M" + "L".join(f"{x} {y}" for x, y in points)
    words = ", ".join(f"{celsius:g} °C {percent} %" for celsius, percent in facts.curve)
    return CurveView(
        line=line,
        area=f"{line}V{HEIGHT}H{points[0][0]}z",
        now=None if at is None or facts.speed is None else place(at, facts.speed),
        low=f"{low} °C",
        high=f"{high} °C",
        words=words,
    )


def _corners(curve: Sequence[tuple[float, int]], low: float, high: float, *, steps: bool) -> list[tuple[float, float]]:
    """All points where the line turns, from the left edge to the right one."""
    found: list[tuple[float, float]] = [(low, 0 if steps else curve[0][1])]
    for celsius, percent in curve:
        if steps:
            found.append((celsius, found[-1][1]))
        found.append((celsius, percent))
    return [*found, (high, curve[-1][1])]
