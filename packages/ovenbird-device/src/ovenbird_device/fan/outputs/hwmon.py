"""A fan at a PWM output of a hwmon chip (Linux, Documentation/hwmon/sysfs-interface.rst).

`pwmN` takes 0 to 255; `pwmN_enable` says who sees to it: 0 nobody (full speed), 1 whoever writes `pwmN`, more the chip
itself. A chip that regulates by itself is only reported, unless the settings name it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ...facts import hardware
from ..law import Point
from .output import OutputError

MOST = 255
_OUTPUT = re.compile(r"pwm\d+")


class Hwmon:
    """One such output."""

    levels: tuple[Point, ...] = ()

    def __init__(self, file: Path, *, controlled: bool = True) -> None:
        """`file` is `pwmN`."""
        self._file = file
        self.controlled = controlled
        self.kind = "hwmon" if controlled else "chip"

    @property
    def name(self) -> str:
        """The chip, and which of its outputs."""
        return f"{_chip(self._file)}/{self._file.name}"

    def set(self, percent: int) -> None:
        """Written each time: after a suspend, or by somebody's hand, it may be another. Raises OSError."""
        if not self.controlled:
            return
        enable = self._enable
        if enable.exists() and hardware.text(enable) != "1":
            enable.write_text("1\n", "ascii")
        self._file.write_text(f"{round(percent * MOST / 100)}\n", "ascii")

    def speed(self) -> int | None:
        """What the chip says."""
        if hardware.text(self._enable) == "0":
            return 100
        text = hardware.text(self._file)
        return round(min(int(text), MOST) * 100 / MOST) if text.isascii() and text.isdigit() else None

    def rpm(self) -> int | None:
        """The tachometer of the same number, if the chip has it."""
        text = hardware.text(self._file.with_name(f"{self._file.name.replace('pwm', 'fan')}_input"))
        return int(text) if text.isascii() and text.isdigit() else None

    def leave(self) -> None:
        """Full speed, in the way that asks least of the chip. Raises OSError."""
        if not self.controlled:
            return
        try:
            self.set(100)
        except OSError:
            self._enable.write_text("0\n", "ascii")

    def close(self) -> None:
        """Nothing is held."""

    @property
    def _enable(self) -> Path:
        return self._file.with_name(f"{self._file.name}_enable")


def outputs(system: Path = Path("/sys")) -> list[Path]:
    """All outputs of all chips: a kernel's own fan driver first, then as they are numbered."""
    found = [
        file
        for file in sorted(system.glob("class/hwmon/hwmon*/pwm*"), key=lambda file: _natural(str(file)))
        if _OUTPUT.fullmatch(file.name)
    ]
    return sorted(found, key=lambda file: _chip(file) != "pwmfan")


def find(wanted: str = "", system: Path = Path("/sys")) -> Hwmon | None:
    """The output that is named ("chip" or "chip/pwmN"; then it is ours), else the first that there is; None without.

    Raises OutputError for a name that no output has.
    """
    there = outputs(system)
    if not wanted:
        return next((Hwmon(file, controlled=not _by_itself(file)) for file in there), None)
    for file in there:
        if wanted in (_chip(file), f"{_chip(file)}/{file.name}"):
            return Hwmon(file)
    names = ", ".join(dict.fromkeys(f"{_chip(file)}/{file.name}" for file in there))
    raise OutputError(f"there is no hwmon output {wanted}; " + (f"there is {names}" if names else "there is none"))


def _chip(file: Path) -> str:
    return hardware.text(file.parent / "name") or file.parent.name


def _by_itself(file: Path) -> bool:
    with suppress(ValueError):
        return int(hardware.text(file.with_name(f"{file.name}_enable"))) > 1
    return False


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]
