"""A fan that the kernel's own governor sees to: a cooling device bound to a thermal zone that is switched on.

So it is on a Raspberry Pi 5, and wherever a device tree or ACPI describes the fan. Then it is left alone and reported:
two who regulate one fan hunt each other. (Linux, Documentation/driver-api/thermal/sysfs-api.rst)
"""

from __future__ import annotations

import re
from pathlib import Path

from ...facts import hardware, parse
from ..law import Point

_FAN = re.compile(r"fan", re.IGNORECASE)


class Governed:
    """One such fan."""

    kind = "kernel"
    controlled = False

    def __init__(self, zone: Path, device: Path, trips: tuple[int, ...], system: Path) -> None:
        """`device` is a cooling device, bound to these trip points of the zone."""
        self._zone, self._device, self._system = zone, device, system
        self._trips = trips

    @property
    def name(self) -> str:
        """The fan and its zone, as the kernel calls them."""
        return f"{hardware.text(self._device / 'type')} of {hardware.text(self._zone / 'type')}"

    @property
    def levels(self) -> tuple[Point, ...]:
        """Its curve, where each step of the fan has a trip point of its own; else what belongs to which is not told."""
        most = _count(self._device / "max_state")
        heats = sorted(
            {
                heat
                for trip in self._trips
                if (heat := parse.millidegrees(hardware.text(self._zone / f"trip_point_{trip}_temp"))) is not None
            }
        )
        if not most or len(heats) != most:
            return ()
        return tuple(Point(heat, _share(state + 1, most)) for state, heat in enumerate(heats))

    def set(self, percent: int) -> None:
        """Nothing: it is not ours to set."""

    def speed(self) -> int | None:
        """Its state as a share of the most."""
        most, now = _count(self._device / "max_state"), _count(self._device / "cur_state")
        return _share(now, most) if most and now is not None else None

    def rpm(self) -> int | None:
        """What the fan's driver counts, if it is one that counts. No link leads there, but the driver's hwmon chip has
        much the same name ("pwm-fan" and "pwmfan", "Fan" and "acpi_fan").
        """
        ours = _plain(hardware.text(self._device / "type"))
        for file in sorted(self._system.glob("class/hwmon/hwmon*/fan*_input")):
            if _plain(hardware.text(file.parent / "name")).endswith(ours) and (turns := _count(file)) is not None:
                return turns
        return None

    def leave(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def find(system: Path = Path("/sys")) -> Governed | None:
    """The first fan that a governor sees to."""
    for zone in sorted(system.glob("class/thermal/thermal_zone*")):
        if hardware.text(zone / "mode") != "enabled" or hardware.text(zone / "policy") == "user_space":
            continue
        bound: dict[Path, list[int]] = {}
        for link in sorted(zone.glob("cdev*")):
            if not re.fullmatch(r"cdev\d+", link.name) or not _FAN.search(hardware.text(link / "type")):
                continue
            trip = _count(zone / f"{link.name}_trip_point")
            bound.setdefault(link.resolve(), []).extend([] if trip is None else [trip])
        for device, trips in bound.items():
            return Governed(zone, device, tuple(trips), system)
    return None


def _count(file: Path) -> int | None:
    text = hardware.text(file)
    return int(text) if text.isascii() and text.isdigit() else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _share(state: int, most: int) -> int:
    return round(100 * min(state, most) / most)
