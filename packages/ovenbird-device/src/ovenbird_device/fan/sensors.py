"""Temperatures: the kernel's thermal zones and hwmon sensors, by the names that the device's page gives them.

Which sensors count is decided once, at the start; from then on each of them has to be readable. A sensor that comes and
goes by itself (that of a radio which is switched off) is therefore not among those that are taken where none is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from ..facts import hardware, parse

PROCESSOR = ("cpu*thermal*", "cpu*-thermal", "soc*thermal*", "x86_pkg_temp", "coretemp*", "k10temp*", "zenpower*")
"""Names of sensors inside of processors. They come first, as nothing on a board is hotter or hides less."""


class Sensor(msgspec.Struct, frozen=True):
    """One file with a temperature."""

    name: str
    file: Path

    def read(self) -> float | None:
        """Degrees Celsius; None if it cannot be read, or says what cannot be."""
        return parse.millidegrees(hardware.text(self.file))


class Reading(msgspec.Struct, frozen=True):
    """What the sensors said: by name, hottest of each name, None where one could not be read."""

    each: tuple[tuple[str, float | None], ...]

    @property
    def hottest(self) -> float | None:
        """What counts; None as soon as one of them could not be read, or if there is none."""
        values = [value for _, value in self.each]
        known = [value for value in values if value is not None]
        return max(known) if known and len(known) == len(values) else None

    @property
    def trouble(self) -> str:
        """What could not be read, in words; empty if nothing."""
        missing = [name for name, value in self.each if value is None]
        if missing:
            return f"{', '.join(missing)} cannot be read"
        return "" if self.each else "there is no temperature to be read"


def find(system: Path = Path("/sys")) -> list[Sensor]:
    """All sensors of the machine."""
    found = [
        Sensor(hardware.text(zone / "type") or zone.name, zone / "temp")
        for zone in sorted(system.glob("class/thermal/thermal_zone*"))
    ]
    for file in sorted(system.glob("class/hwmon/hwmon*/temp*_input")):
        chip = hardware.text(file.parent / "name") or file.parent.name
        label = hardware.text(file.with_name(file.name.replace("_input", "_label")))
        found.append(Sensor(f"{chip} {label}".strip(), file))
    return found


def choose(found: Sequence[Sensor], wanted: Sequence[str]) -> list[Sensor]:
    """Those that count: what the names (`*` and `?` as in a shell) match, else the processor's, else all that can be
    read now.
    """
    if wanted:
        return [one for one in found if any(fnmatchcase(one.name, name) for name in wanted)]
    inside = [one for one in found if any(fnmatchcase(one.name, name) for name in PROCESSOR)]
    return [one for one in inside or found if one.read() is not None]


class Sensors:
    """The sensors that count."""

    def __init__(self, wanted: Sequence[str], system: Path = Path("/sys")) -> None:
        self._wanted, self._system = tuple(wanted), system
        self._chosen: list[Sensor] = []
        self._names: tuple[str, ...] = ()

    def read(self) -> Reading:
        """The temperatures now. Sensors that are gone, or were never there, are looked for again: a driver that was
        loaded anew has other files under the same names.
        """
        if not self._chosen:
            self._look()
        values = [(one.name, one.read()) for one in self._chosen]
        if any(value is None for _, value in values):
            again = [one for one in find(self._system) if one.name in self._names]
            if {one.name for one in again} == set(self._names):
                self._chosen = again
                values = [(one.name, one.read()) for one in again]
        return Reading(_merged([*values, *((name, None) for name in self._missing())]))

    def _look(self) -> None:
        found = choose(find(self._system), self._wanted)
        self._chosen = found
        self._names = tuple(dict.fromkeys(one.name for one in found))

    def _missing(self) -> list[str]:
        """Names that were asked for and match nothing."""
        missing = [name for name in self._wanted if not any(fnmatchcase(one, name) for one in self._names)]
        if missing and self._chosen:
            self._chosen = []  # some of them are there: the next reading looks for the others, too
        return missing


def _merged(values: Sequence[tuple[str, float | None]]) -> tuple[tuple[str, float | None], ...]:
    """One value a name: nothing if one of its sensors cannot be read, else the hottest."""
    found: dict[str, float | None] = {}
    for name, value in values:
        if name not in found:
            found[name] = value
        else:
            before = found[name]
            found[name] = None if value is None or before is None else max(before, value)
    return tuple(found.items())
