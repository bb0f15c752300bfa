"""A kernel's files for a fan, in a folder: thermal zones, hwmon chips, PWM channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird_device.fan.outputs.choose import Places


@dataclass(frozen=True)
class System:
    """What lies below /sys and /dev."""

    folder: Path

    @property
    def places(self) -> Places:
        """For what looks at them."""
        return Places(self.folder / "sys", self.folder / "dev")

    @property
    def sys(self) -> Path:
        """As /sys."""
        return self.folder / "sys"

    def write(self, folder: str, **files: str) -> Path:
        """Files below a folder of /sys."""
        place = self.sys / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / name).write_text(f"{text}\n")
        return place

    def zone(self, number: int, name: str, celsius: float, **files: str) -> Path:
        """A thermal zone."""
        return self.write(f"class/thermal/thermal_zone{number}", type=name, temp=str(int(celsius * 1000)), **files)

    def chip(self, number: int, name: str, **files: str) -> Path:
        """A hwmon chip."""
        return self.write(f"class/hwmon/hwmon{number}", name=name, **files)

    def heat(self, place: str, celsius: float | None) -> None:
        """What a sensor says from one moment to the next; None: it says nothing."""
        new = self.sys / "new"
        new.write_text("" if celsius is None else f"{int(celsius * 1000)}\n")
        new.replace(self.sys / place)


@pytest.fixture
def system(tmp_path: Path) -> System:
    """An empty one."""
    made = System(tmp_path)
    for name in ("sys", "dev"):
        (tmp_path / name).mkdir()
    return made
