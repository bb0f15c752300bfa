"""What agent and steward say to each other: one JSON object a line, at most `LINE_LIMIT` bytes.

Requests are a tagged union, so an unknown action or field is refused by the decoder and never reaches any code. One
request a connection, one answer. Behind the answer to `update` and `update-resume`, which bring the reading end of a
pipe along (SCM_RIGHTS), come lines of progress (`update.job.Update`) until the update is armed or has failed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LINE_LIMIT = 4096
SOCKET = "/run/ovenbird/steward.sock"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    """Any request."""


class Reboot(Request, frozen=True, tag="reboot"):
    """Restart the device, orderly."""


class PowerOff(Request, frozen=True, tag="poweroff"):
    """Stop the device and turn it off, orderly."""


class SlotsStatus(Request, frozen=True, tag="slots"):
    """Both slots and the selector's state; the answer's value is a `slots.manage.Status`, as of all that follow."""


class Commit(Request, frozen=True, tag="commit"):
    """The running slot is healthy: boot it from now on."""


class Rollback(Request, frozen=True, tag="rollback"):
    """Give up the trial, or go back to the slot before. Takes effect at the next boot, which `reboot` brings about."""

    reboot: bool = False


class Arm(Request, frozen=True, tag="arm"):
    """Try the other slot's system, as it is, at the next boots."""

    slot: Literal["a", "b"] | None = None
    reboot: bool = False


class Rescue(Request, frozen=True, tag="rescue"):
    """Restart into rescue."""


class Reset(Request, frozen=True, tag="reset"):
    """In rescue only: forget what both slots changed in `/etc`, or erase all of data."""

    what: Literal["etc", "data"]


class Update(Request, frozen=True, tag="update"):
    """Install the bundle that comes through the pipe. `size` in bytes makes it one that can be continued."""

    size: int | None = None
    allow_downgrade: bool = False
    force: bool = False
    trial_only: bool = False
    reboot: bool = True


class UpdateResume(Request, frozen=True, tag="update-resume"):
    """Go on with an interrupted upload, from the byte `offset` of the bundle, through another pipe."""

    id: str
    offset: int


class UpdateAbort(Request, frozen=True, tag="update-abort"):
    """End the update that is under way."""


class UpdateStatus(Request, frozen=True, tag="update-status"):
    """The update under way or the last one since the steward started; the answer's value is an `Update` or null."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ok`, or why not in `error` (for people) and `reason` (for programs; see `update.policy.Reason`)."""

    ok: bool
    error: str = ""
    reason: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")


Action = (
    Reboot
    | PowerOff
    | SlotsStatus
    | Commit
    | Rollback
    | Arm
    | Rescue
    | Reset
    | Update
    | UpdateResume
    | UpdateAbort
    | UpdateStatus
)


def decode_request(line: bytes) -> Action:
    """The request on a line. Raises msgspec.DecodeError (msgspec.ValidationError among them) for anything else."""
    action: Action = msgspec.json.decode(line, type=Action)
    return action


def encode(message: msgspec.Struct) -> bytes:
    """One line with its newline."""
    return msgspec.json.encode(message) + b"\n"


def decode_answer(line: bytes) -> Answer:
    """The answer on a line. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(line, type=Answer)
