"""The machine itself: its model, its temperatures, its kernel. From sysfs, DMI and the device tree."""

import os
from pathlib import Path
from typing import NamedTuple

from . import parse


class Temperature(NamedTuple):
    """One sensor in degrees Celsius."""

    name: str
    celsius: float


def text(path: Path) -> str:
    """The first 4 KiB of a small system file, stripped; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return ""


def model(system: Path = Path("/sys"), processes: Path = Path("/proc")) -> str:
    """What the machine calls itself: the device tree's model, else DMI's product; "unknown machine" at worst."""
    tree = text(processes / "device-tree/model")
    if tree:
        return tree
    dmi = system / "class/dmi/id"
    named = parse.model(text(dmi / "sys_vendor"), text(dmi / "product_name"), text(dmi / "product_version"))
    return named or "unknown machine"


def temperatures(system: Path = Path("/sys")) -> list[Temperature]:
    """All sensors of thermal zones and hwmon, hottest first; empty on machines without (most virtual ones)."""
    found: dict[str, float] = {}
    for zone in sorted(system.glob("class/thermal/thermal_zone*")):
        _keep(found, text(zone / "type") or zone.name, text(zone / "temp"))
    for sensor in sorted(system.glob("class/hwmon/hwmon*/temp*_input")):
        chip = text(sensor.parent / "name") or sensor.parent.name
        label = text(sensor.with_name(sensor.name.replace("_input", "_label")))
        _keep(found, f"{chip} {label}".strip(), text(sensor))
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return [Temperature(name, celsius) for name, celsius in ordered]


def _keep(found: dict[str, float], name: str, raw: str) -> None:
    """Keep the hottest reading of a name: the same sensor often shows up in both places."""
    celsius = parse.millidegrees(raw)
    if celsius is not None:
        found[name] = max(celsius, found.get(name, celsius))


def kernel() -> str:
    """The running kernel's release and architecture."""
    about = os.uname()
    return f"{about.release} ({about.machine})"
