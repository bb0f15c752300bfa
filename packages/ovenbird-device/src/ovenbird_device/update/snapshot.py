"""What is said of an update: by the steward to the agent, by the agent to everybody. Holds none of what does it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why there was no update, for programs."""

    BUSY = "busy"
    SIGNATURE = "signature"
    BUNDLE = "bundle"
    DIGEST = "digest"
    COMPATIBLE = "compatible"
    OLDER = "older"
    FAILED_BEFORE = "failed-before"
    TOO_LARGE = "too-large"
    DISK = "disk"
    SLOTS = "slots"
    INTERRUPTED = "interrupted"
    ABORTED = "aborted"
    INTERNAL = "internal"


class UpdateError(Exception):
    """No update; the message is one sentence for people. `touched`: the other slot had been overwritten already."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.touched = False


class Update(msgspec.Struct, frozen=True, kw_only=True, tag="update", tag_field="event"):
    """A snapshot. `state`: receiving, paused, verifying, armed, failed. Sizes and offsets in bytes."""

    id: str
    state: str
    received: int = 0
    size: int | None = None
    done: int = 0
    total: int = 0
    part: str = ""
    slot: str = ""
    version: str = ""
    before: str = ""
    paused_s: float | None = None
    """Seconds that are left to go on with a paused upload."""
    reason: str = ""
    message: str = ""
    touched: bool = False
    """It failed when the other slot had been overwritten already."""
    rebooting: bool = False
