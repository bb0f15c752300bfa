"""What the kernel counts since its start: processor time, bytes of disks and networks. Pure parsers of proc(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..facts import hardware

_TICKS = 100.0
"""Of a second, in /proc/stat (USER_HZ, the same on all of Linux's machines that we know)."""
_SECTOR = 512
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_WHOLE_DISK = re.compile(r"(?:[shv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)\Z")


class Traffic(msgspec.Struct, frozen=True):
    """Bytes that came and that went."""

    read: int
    written: int


class Counters(msgspec.Struct, frozen=True):
    """All of them at one moment."""

    cpu: Mapping[str, float]
    """Seconds of all cores by mode."""
    disks: Mapping[str, Traffic]
    networks: Mapping[str, Traffic]


def cpu(text: str) -> dict[str, float]:
    """Seconds by mode, of all cores together, from /proc/stat."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["cpu"]:
            numbers = [int(word) for word in words[1:] if word.isascii() and word.isdigit()]
            return {mode: count / _TICKS for mode, count in zip(MODES, numbers, strict=False)}
    return {}


def disks(text: str) -> dict[str, Traffic]:
    """Bytes by whole disk, from /proc/diskstats."""
    found: dict[str, Traffic] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 10 and _WHOLE_DISK.match(words[2]) and words[5].isdigit() and words[9].isdigit():
            found[words[2]] = Traffic(int(words[5]) * _SECTOR, int(words[9]) * _SECTOR)
    return found


def networks(text: str) -> dict[str, Traffic]:
    """Bytes by interface, from /proc/net/dev; the loopback is left out, and what only passes on to another one."""
    found: dict[str, Traffic] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        name = name.strip()
        if not colon or len(words) < 9 or not (words[0].isdigit() and words[8].isdigit()):
            continue
        if name == "lo" or name.startswith(("veth", "br-", "podman", "docker", "cni")):
            continue
        found[name] = Traffic(int(words[0]), int(words[8]))
    return found


def read(processes: Path = Path("/proc")) -> Counters:
    """The counters now; what cannot be read is empty."""
    return Counters(
        cpu=cpu(hardware.text(processes / "stat")),
        disks=disks(_whole(processes / "diskstats")),
        networks=networks(_whole(processes / "net/dev")),
    )


def _whole(path: Path) -> str:
    """Up to 256 KiB of a file that has a line for each of many things."""
    try:
        with path.open("rb") as file:
            return file.read(256 << 10).decode("utf-8", "replace")
    except OSError:
        return ""
