"""The medium that the device runs from: its kind, its partitions, how worn it is, and whether data could grow.

All of it from sysfs, without rights and without touching the medium. Wear: eMMC counts in tenths of its life and says
when its spare blocks run out (Documentation/ABI/testing/sysfs-class-mmc and JEDEC 84-B51, EXT_CSD 267 to 269), UFS does
the same (sysfs-driver-ufs). Other media tell it only to who may send them commands, and SD cards to nobody.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ..grow import device
from . import hardware, parse

SECTOR = 512
_LEAST_GROWTH = 16 << 20
_SPARE = {1: "normal", 2: "low", 3: "out"}


class Wear(msgspec.Struct, frozen=True, kw_only=True):
    """What the medium says of its own age. Shares of its life that are used, 0 to 1; 1 means: beyond it."""

    least: float
    most: float
    spare: str
    """Spare blocks: `normal`, `low` (most are used), `out` (nearly all are), or empty if it does not tell."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition; sizes in bytes."""

    number: int
    name: str
    size: int


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """A disk. `kind` is for people: `eMMC`, `SD card`, `NVMe`, `virtual disk`, …"""

    name: str
    model: str
    kind: str
    size: int
    written: int
    """Bytes that were written to it since the device started."""
    partitions: list[Partition]
    wear: Wear | None


class DataUse(msgspec.Struct, frozen=True, kw_only=True):
    """The data partition; bytes, and numbers of files."""

    state: str
    reason: str
    total: int
    used: int
    available: int
    files: int
    files_left: int
    written: int | None
    """Bytes that its file system has written in its life; null if that is not known."""
    errors: int | None
    """Errors that its file system has met since it was made."""
    grows_by: int
    """Bytes of the medium behind it that it does not use."""


def medium(root: str, system: Path = Path("/sys")) -> Medium | None:
    """The disk that has the partition of the running root (`/dev/mmcblk0p4`); None if that is on no disk."""
    name = root.removeprefix("/dev/").replace("/", "!")
    folder = (system / "class/block" / name).resolve() if name and name not in (".", "..") else None
    if folder is None or not (folder / "partition").is_file():
        return None
    disk = folder.parent
    numbers = hardware.text(disk / "stat").split()
    written = int(numbers[6]) if len(numbers) > 6 and numbers[6].isdigit() else 0
    return Medium(
        name=disk.name,
        model=hardware.text(disk / "device/model") or hardware.text(disk / "device/name"),
        kind=_kind(disk),
        size=_number(disk / "size") * SECTOR,
        written=written * SECTOR,
        partitions=_partitions(disk),
        wear=wear(disk),
    )


def _partitions(disk: Path) -> list[Partition]:
    found: list[Partition] = []
    for part in disk.glob("*/partition"):
        folder = part.parent
        name = parse.key_values(hardware.text(folder / "uevent")).get("PARTNAME", folder.name)
        found.append(Partition(number=_number(part), name=name, size=_number(folder / "size") * SECTOR))
    return sorted(found, key=lambda one: one.number)


def _kind(disk: Path) -> str:
    name = disk.name
    if name.startswith("mmcblk"):
        return {"MMC": "eMMC", "SD": "SD card"}.get(hardware.text(disk / "device/type"), "memory card")
    if name.startswith("nvme"):
        return "NVMe"
    if name.startswith(("vd", "xvd")):
        return "virtual disk"
    path = str(disk)
    if "/usb" in path:
        return "USB disk"
    spins = hardware.text(disk / "queue/rotational") == "1"
    return "hard disk" if spins else "solid-state disk"


def wear(disk: Path) -> Wear | None:
    """How worn a disk says that it is; None if it does not tell."""
    said = hardware.text(disk / "device/life_time").split()
    spare = hardware.text(disk / "device/pre_eol_info")
    if not said:
        for place in (disk / "device").resolve().parents:
            health = place / "health_descriptor"
            if health.is_dir():
                said = [hardware.text(health / f"life_time_estimation_{which}") for which in "ab"]
                spare = hardware.text(health / "eol_info")
                break
    steps = [step for step in map(_hexadecimal, said) if 1 <= step <= 11]
    if not steps:
        return None
    worst = max(steps)
    left = _SPARE.get(_hexadecimal(spare), "")
    return Wear(least=min(1.0, (worst - 1) / 10), most=min(1.0, worst / 10), spare=left)


def data_use(
    data: Path, state: str, reason: str, processes: Path = Path("/proc"), system: Path = Path("/sys")
) -> DataUse:
    """How full data is, and how its file system is."""
    try:
        about = os.statvfs(data)
        block, total, free, left = about.f_frsize, about.f_blocks, about.f_bfree, about.f_bavail
        files, files_left = about.f_files, about.f_favail
    except OSError:
        block = total = free = left = files = files_left = 0
    written: int | None = None
    errors: int | None = None
    grows_by = 0
    try:
        mounts = (processes / "self/mountinfo").read_text("utf-8", "surrogateescape")
        place = device.locate(mounts, str(data), system, Path("/dev"))
        ext4 = system / "fs/ext4" / place.partition.name
        written = _known(ext4 / "lifetime_write_kbytes", 1024)
        errors = _known(ext4 / "errors_count", 1)
        room = (place.disk_sectors - place.start - place.sectors) * SECTOR
        grows_by = room if room >= _LEAST_GROWTH else 0
    except (OSError, device.GrowError):
        pass  # data in memory: nothing to tell, and nothing that grows
    return DataUse(
        state=state,
        reason=reason,
        total=total * block,
        used=(total - free) * block,
        available=left * block,
        files=files - files_left,
        files_left=files_left,
        written=written,
        errors=errors,
        grows_by=grows_by,
    )


def _number(path: Path) -> int:
    text = hardware.text(path)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _known(path: Path, unit: int) -> int | None:
    text = hardware.text(path)
    return int(text) * unit if text.isascii() and text.isdigit() and len(text) < 20 else None


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
