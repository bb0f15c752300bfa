"""How this boot went: what the initrd noted in /run/ovenbird/boot, and how long each part took.

All stamps count seconds from the start of the kernel (CLOCK_MONOTONIC). The initrd tells when it switched to the
root, systemd when it started its first unit and when it was done, the agent itself when it first answered. The time
that firmware and boot loader took before is not measured: nothing there has a clock that we could trust.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import msgspec

from . import parse

DataState = Literal["ok", "repaired", "degraded", "tmpfs", "zram", "unknown"]
"""`tmpfs` and `zram`: what is written stays in memory, as the command line asked for."""
_STATES = ("ok", "repaired", "degraded", "tmpfs", "zram")


class Diskless(msgspec.Struct, frozen=True):
    """Where a machine without a disk got what it runs. Overlays and home are URLs with the sums of their content."""

    root: str
    overlays: tuple[str, ...] = ()
    home: str = ""


class BootNote(msgspec.Struct, frozen=True):
    """The initrd's note of how it brought this system up."""

    slot: str
    trial: bool
    data: DataState
    data_reason: str
    etc: str
    hash: str
    switch_s: float | None
    diskless: Diskless | None = None
    """None: it was booted from a disk."""
    swap: str = ""
    """Swap in memory, as text for people; empty without."""


def read_note(path: Path) -> BootNote:
    """The note at `path`; a machine that Ovenbird's initrd did not boot has none, and then all is unknown."""
    try:
        values = parse.key_values(path.read_text("utf-8", "replace"))
    except OSError:
        values = {}
    state = values.get("data", "")
    switch = parse.number(values.get("switch_ms", ""))
    return BootNote(
        slot=values.get("slot", "")[:8],
        trial=values.get("trial", "") not in ("", "0", "no", "false"),
        data=cast(DataState, state) if state in _STATES else "unknown",
        data_reason=values.get("data_reason", "")[:500],
        etc=values.get("etc", "")[:40],
        hash=values.get("hash", "")[:100],
        switch_s=round(switch / 1000, 3) if switch is not None and switch > 0 else None,
        diskless=_diskless(values) if values.get("network") == "1" else None,
        swap=values.get("swap", "")[:80],
    )


def _diskless(values: Mapping[str, str]) -> Diskless:
    overlays = tuple(one[:400] for one in values.get("overlays", "").split(";") if one)
    return Diskless(values.get("root", "")[:400], overlays[:32], values.get("home", "")[:400])


def stamp_ready(path: Path) -> float:
    """Seconds from the kernel's start to the agent's first answer in this boot.

    Written once to `path` (on a tmpfs): an agent that is started again later must not claim a slow boot.
    """
    try:
        kept = parse.number(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        kept = None
    if kept is not None:
        return kept
    now = round(time.monotonic(), 3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{now}\n", "ascii")
    except OSError:
        pass  # a full or read-only runtime folder costs one number on the page, nothing else
    return now


def systemd_stamps(systemctl: str = "systemctl") -> tuple[float | None, float | None]:
    """When systemd took over and when it had started everything, in seconds; None for what it does not tell (yet).

    Takes some milliseconds, and up to two seconds on a machine that is busy starting: call it off the event loop.
    """
    import subprocess  # only here: most of who reads the note has no use for it

    command = [systemctl, "show", "--property=UserspaceTimestampMonotonic", "--property=FinishTimestampMonotonic"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    values = parse.key_values(done.stdout)
    return (
        parse.microseconds(values, "UserspaceTimestampMonotonic"),
        parse.microseconds(values, "FinishTimestampMonotonic"),
    )
