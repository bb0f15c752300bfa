"""What is kept of updates on data: the last one and how it went, and which bundles failed here.

Only for people and for one refusal (a bundle that failed is not tried again); if data is lost, a device merely forgets.
Whoever judges a trial (health) completes the record of the update that led to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..slots import files
from ..slots.files import now

if TYPE_CHECKING:
    from ..slots.manage import Slots

_LAST = "update.json"
_FAILED = "failed.json"
_MOST_FAILED = 64


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last update. Times are seconds since 1970 by the device's clock, which may be wrong."""

    id: str
    outcome: str
    """`armed` (written, its trial is next), `failed` (not installed), `committed` or `rolled-back`."""
    slot: str = ""
    version: str = ""
    before: str = ""
    """The version that ran when it came."""
    bundle: str = ""
    """SHA-256 of the bundle's description."""
    reason: str = ""
    """For programs; see `policy.Reason`, and health's own."""
    message: str = ""
    started: int = 0
    ended: int = 0
    trial_only: bool = False
    """Whoever sent it wants to commit by hand."""
    details: dict[str, str] = {}
    """What health found: check by check."""


def last(folder: Path) -> Last | None:
    """The last update; None if there was none (or data has forgotten it)."""
    return files.load(folder / _LAST, Last)


def note(folder: Path, record: Last) -> None:
    """Keep how an update went. Data that cannot be written costs the record, nothing else."""
    _save(folder / _LAST, record)


def failed(folder: Path) -> tuple[str, ...]:
    """The digests of bundles that were given up on this device, oldest first."""
    return files.load(folder / _FAILED, tuple[str, ...]) or ()


def note_failed(folder: Path, digest: str) -> None:
    """Keep that a bundle was given up here."""
    known = failed(folder)
    if digest and digest not in known:
        _save(folder / _FAILED, (*known, digest)[-_MOST_FAILED:])


def forget_failed(folder: Path, digest: str) -> None:
    """The bundle works after all: it was committed."""
    known = failed(folder)
    if digest in known:
        _save(folder / _FAILED, tuple(one for one in known if one != digest))


def settle(slots: Slots, outcome: str, reason: str, message: str, details: dict[str, str] | None = None) -> None:
    """A trial is over: `committed` or `rolled-back`. Call it after the selector was changed.

    Completes the record of the update that led to it, and keeps (or forgets) its bundle as one that failed here.
    """
    folder, before = slots.folder, last(slots.folder)
    if before is None or before.outcome != "armed":
        return
    if outcome == "committed":
        forget_failed(folder, before.bundle)
    else:
        note_failed(folder, before.bundle)
    found = {} if details is None else details
    note(
        folder,
        msgspec.structs.replace(before, outcome=outcome, reason=reason, message=message, ended=now(), details=found),
    )


def _save(path: Path, value: object) -> None:
    try:
        files.save(path, value)
    except OSError as error:
        print(f"ovenbird: {path.name} cannot be kept: {error}")
