"""How each boot was judged, kept on data: a line when a boot is found good or not, and when that changes.

For people, to see whether a device is often unwell. Nothing is decided by it, and nothing stops because it cannot be
written. `health.jsonl`, bounded as `files.append` does it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ..slots import files

NAME, FORMER = "health.jsonl", "health.1.jsonl"
MOST = 64 << 10
"""Bytes of a file; there are two."""
TOLD = ("good", "unhealthy", "committed", "waiting", "rolling-back")
"""The states of `report.Health` that are put down."""
_LONGEST = 400


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A boot's verdict. `state` as in `report.Health`."""

    time: int
    """Seconds since 1970 by the device's clock, which may be wrong."""
    boot: str
    """The kernel's id of the boot."""
    slot: str
    version: str = ""
    trial: bool = False
    state: str
    reason: str = ""
    after_s: float
    """Seconds from the kernel's start to the verdict."""


def note(folder: Path, boot: str, state: str, *, slot: str, version: str, trial: bool, reason: str) -> None:
    """Put a verdict down, unless it stands there for this boot already."""
    last = read(folder, 1)
    if state not in TOLD or (last and (last[0].boot, last[0].state) == (boot, state)):
        return
    verdict = Verdict(
        time=int(time.time()),
        boot=boot,
        slot=slot,
        version=version,
        trial=trial,
        state=state,
        reason=reason[:_LONGEST],
        after_s=round(time.monotonic(), 1),
    )
    with suppress(OSError):
        files.append(folder / NAME, msgspec.json.encode(verdict), MOST, folder / FORMER)


def read(folder: Path, most: int) -> list[Verdict]:
    """The newest verdicts, newest first."""
    return files.newest((folder / NAME, folder / FORMER), Verdict, most, MOST)
