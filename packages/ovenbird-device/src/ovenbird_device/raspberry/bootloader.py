"""What the Pi's boot loader said of this boot, and whether it can be trusted with an update.

It leaves 32-bit numbers, big-endian, in the device tree below /chosen/bootloader. Sources: Raspberry Pi documentation,
"Device trees, overlays, and parameters": "Common bootloader properties" (partition, tryboot) and "BCM2711 specific
bootloader properties"; the names have dashes where firmware writes them (rpi-eeprom, issue 575).
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..format.eeprom import LEAST, day

IN_SYSFS = "firmware/devicetree/base"
TREE = Path("/sys") / IN_SYSFS
UPDATE = "https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#raspberry-pi-boot-eeprom"


class Bootloader(msgspec.Struct, frozen=True):
    """What it says. None: this firmware does not say it. `built`: seconds since 1970, only where it is in an EEPROM."""

    partition: int | None = None
    tryboot: bool | None = None
    built: int | None = None

    @property
    def problem(self) -> str:
        """Why this device must not be updated, as a sentence with what to do; empty if it may be."""
        if self.built is None or self.built >= LEAST:
            return ""
        return (
            f"the boot loader in this Pi's EEPROM is from {day(self.built)} and cannot fall back from a bad update; "
            f"one of 2022-10-18 or newer can: see {UPDATE}"
        )


def read(tree: Path = TREE) -> Bootloader:
    """What the boot loader left; on other machines nothing is known."""
    folder = tree / "chosen/bootloader"
    tryboot = _number(folder / "tryboot")
    built = _number(folder / "build-timestamp")
    return Bootloader(
        partition=_number(folder / "partition"),
        tryboot=None if tryboot is None else tryboot == 1,
        built=built if built is not None else _number(folder / "build_timestamp"),
    )


def _number(path: Path) -> int | None:
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return int.from_bytes(raw, "big") if len(raw) == 4 else None
