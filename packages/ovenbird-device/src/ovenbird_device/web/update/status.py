"""What `GET /update` answers in JSON: the agreement with the page's script, `ovenbird update`, and whoever else asks.

Sizes and offsets are bytes, times seconds. Fields are only ever added.
"""

from __future__ import annotations

import msgspec

from ...update.record import Last
from ...update.snapshot import Update
from .trial import Trial


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The system that answers."""

    slot: str
    name: str
    version: str


class UpdateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: idle, uploading, paused, verifying, armed (waits for a restart), restarting, trial."""

    state: str
    boot_id: str
    running: Running
    accepts: bool = True
    """Whether this image names certificates at all."""
    signed_in: bool = False
    """Whether whoever asks may send a bundle."""
    job: Update | None = None
    """The update under way, or the last one that this boot has seen."""
    trial: Trial | None = None
    last: Last | None = None
    """The last update, also over restarts."""
    log: bool = False
    """Whether `/update/log` holds the log of a failed trial."""
