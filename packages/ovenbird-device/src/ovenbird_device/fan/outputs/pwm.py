"""A fan at a channel of a PWM chip (Linux, Documentation/driver-api/pwm.rst, "Using PWMs with the sysfs interface").

The channel is exported and stays so: to take it back would switch it off.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from ...facts import hardware
from ..law import Point
from .output import OutputError

FREQUENCY = 25_000
"""Hz: what fans of four wires want."""
_SECOND = 1_000_000_000


class Channel(msgspec.Struct, frozen=True):
    """One that is there."""

    chip: Path
    number: int

    @property
    def name(self) -> str:
        """As `pwmchip0/0`."""
        return f"{self.chip.name}/{self.number}"


class Pwm:
    """One such channel, driven."""

    kind = "pwm"
    controlled = True
    levels: tuple[Point, ...] = ()

    def __init__(self, channel: Channel, frequency: int | None, *, inverted: bool) -> None:
        """Takes the channel. Raises OSError."""
        self.name = channel.name
        self._folder = channel.chip / f"pwm{channel.number}"
        self._inverted = inverted
        self._period = round(_SECOND / (frequency or FREQUENCY))
        if not self._folder.is_dir():
            (channel.chip / "export").write_text(f"{channel.number}\n", "ascii")
        self._prepare()

    def _prepare(self) -> None:
        """The period; a duty that is longer than it would make the kernel refuse it. Raises OSError."""
        if hardware.text(self._folder / "period") == str(self._period):
            return
        with suppress(OSError):
            (self._folder / "duty_cycle").write_text("0\n", "ascii")
        (self._folder / "period").write_text(f"{self._period}\n", "ascii")

    def set(self, percent: int) -> None:
        """Run at a speed. Raises OSError."""
        self._prepare()
        share = 100 - percent if self._inverted else percent
        (self._folder / "duty_cycle").write_text(f"{self._period * share // 100}\n", "ascii")
        if hardware.text(self._folder / "enable") != "1":
            (self._folder / "enable").write_text("1\n", "ascii")

    def speed(self) -> int | None:
        """What the channel does."""
        duty, period = hardware.text(self._folder / "duty_cycle"), hardware.text(self._folder / "period")
        if not (duty.isdigit() and period.isdigit() and int(period)):
            return None
        share = round(min(1.0, int(duty) / int(period)) * 100) if hardware.text(self._folder / "enable") == "1" else 0
        return 100 - share if self._inverted else share

    def rpm(self) -> int | None:
        """Nothing counts them."""
        return None

    def leave(self) -> None:
        """Full speed. Raises OSError."""
        self.set(100)

    def close(self) -> None:
        """It stays exported, and goes on."""


def find(wanted: str, system: Path = Path("/sys")) -> Channel:
    """The channel that is named ("pwmchip0/0"). Raises OutputError if it is not there."""
    name, _, channel = wanted.partition("/")
    chip = system / "class/pwm" / name
    count = hardware.text(chip / "npwm")
    if not count.isdigit():
        there = ", ".join(sorted(one.name for one in (system / "class/pwm").glob("pwmchip*")))
        raise OutputError(f"there is no PWM chip {name}; " + (f"there is {there}" if there else "there is none"))
    if int(channel) >= int(count):
        raise OutputError(f"{name} has no channel {channel}: it has {count}, counted from 0")
    return Channel(chip, int(channel))
