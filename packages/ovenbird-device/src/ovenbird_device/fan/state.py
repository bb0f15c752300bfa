"""What the daemon tells the device's page: one small file in memory, written at each turn, read when somebody looks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, get_args

import msgspec

FOLDER = "ovenbird-fan"
"""Below /run."""
FILE = "state.json"
_PATIENCE = 20.0
"""Seconds beside the interval after which a silent daemon is called so."""

FanState = Literal["regulating", "reported", "testing", "failsafe", "stopped", "silent"]
STATES: tuple[FanState, ...] = get_args(FanState)


class FanSensor(msgspec.Struct, frozen=True, kw_only=True):
    """One temperature that counts; null if it cannot be read."""

    name: str
    celsius: float | None


class FanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The fan. `regulating`: by the curve; `reported`: somebody else sees to it; `testing`: a run through the speeds;
    `failsafe`: at full speed, `problem` says why; `stopped`: the daemon ended, at full speed; `silent`: no word of it.
    """

    state: FanState
    kind: str
    """What drives it: `kernel`, `chip`, `hwmon`, `pwm`, `gpio`; empty where there is nothing."""
    output: str
    speed: int | None
    """Percent."""
    rpm: int | None
    celsius: float | None
    """The hottest of the sensors, now."""
    level: float | None
    """The temperature that the speed belongs to: the window's hottest, with the hysteresis."""
    sensors: list[FanSensor]
    curve: list[tuple[float, int]]
    """Points (°C, percent) with lines between them, or with `steps` nothing; empty where nobody tells it."""
    steps: bool
    problem: str
    interval_s: float
    updated_s: float
    """Seconds since the kernel started."""


def clock() -> float:
    """Seconds since the kernel started, with the time that the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def publish(folder: Path, facts: FanFacts) -> None:
    """Write the file, so that a reader has this one or the one before. Raises OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = folder / f"{FILE}.new"
    new.write_bytes(msgspec.json.encode(facts))
    new.chmod(0o644)
    new.replace(folder / FILE)


def read(folder: Path) -> FanFacts | None:
    """What the daemon told last; None where there is none, as on most devices."""
    try:
        facts = msgspec.json.decode((folder / FILE).read_bytes(), type=FanFacts)
    except (OSError, msgspec.MsgspecError):
        return None
    if facts.state != "stopped" and clock() - facts.updated_s > 3 * facts.interval_s + _PATIENCE:
        return msgspec.structs.replace(facts, state="silent")
    return facts
