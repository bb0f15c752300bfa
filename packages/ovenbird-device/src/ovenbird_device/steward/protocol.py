"""What agent and steward say to each other: one JSON object a line, at most `LINE_LIMIT` bytes.

Requests are a tagged union, so an unknown action or field is refused by the decoder and never reaches any code. One
request a connection, one answer. `update`, `update-resume`, `dev-start` and `certificate` bring the reading end of a
pipe along (SCM_RIGHTS). Behind the answer to the first two come lines of progress (`update.snapshot.Update`) until the
update is armed or has failed. The answer to `terminal` brings a socket along.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..network.settings import NetworkSettings

LINE_LIMIT = 4096
SOCKET = "/run/ovenbird/steward.sock"


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    """Any request."""

    by: str = ""
    """For the list of changes: the address of whoever asked the agent for it."""


class Reboot(Request, frozen=True, tag="reboot"):
    """Restart the device, orderly."""


class PowerOff(Request, frozen=True, tag="poweroff"):
    """Stop the device and turn it off, orderly."""


class SlotsStatus(Request, frozen=True, tag="slots"):
    """Both slots and the selector's state; the answer's value is a `slots.status.Status`, as of all that follow."""


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


class Eeprom(Request, frozen=True, tag="eeprom"):
    """Restart, and have the Pi's ROM write the boot loader that the card carries into the EEPROM on the way."""


class Reset(Request, frozen=True, tag="reset"):
    """In rescue only: forget what both slots changed in `/etc`, or erase all of data."""

    what: Literal["etc", "data"]


class FactoryReset(Request, frozen=True, tag="factory-reset"):
    """Restart, and empty data on the way; the page's password stays."""


class Grow(Request, frozen=True, tag="grow"):
    """Let data have the rest of its medium, as each boot does."""


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


class Control(Request, frozen=True, tag="control"):
    """Start, stop or restart a service that is listed; the steward looks for itself whether it is."""

    verb: Literal["start", "stop", "restart"]
    unit: str


class Password(Request, frozen=True, tag="password"):
    """A new password for the device, by somebody who knows the old one."""

    old: str
    new: str


class NetworkTry(Request, frozen=True, tag="network-try"):
    """Set an interface, or (null) leave it to the image again; undone after a minute if it is not kept.

    The answer's value is a `network.trial.Pending`; it is put in force a moment after it.
    """

    interface: str
    settings: NetworkSettings | None


class NetworkKeep(Request, frozen=True, tag="network-keep"):
    """Keep the change that waits and has this id."""

    id: str


class NetworkUndo(Request, frozen=True, tag="network-undo"):
    """Undo the change that waits."""


class KeyAdd(Request, frozen=True, tag="key-add"):
    """Give an account a public SSH key."""

    user: str
    key: str


class KeyRemove(Request, frozen=True, tag="key-remove"):
    """Take a key away that was given on the device."""

    user: str
    fingerprint: str


class Certificate(Request, frozen=True, tag="certificate"):
    """Serve the page with the certificate that comes through the pipe: PEM text, the chain and its key.

    The answer's value is a `tls.certificate.Facts`.
    """


class CertificateOwn(Request, frozen=True, tag="certificate-own"):
    """Serve the page with the device's own certificate again."""


class DevStart(Request, frozen=True, tag="dev-start"):
    """Run the program that comes through the pipe (see `dev.unpack`) in place of an app's, until its lease ends."""

    app: str


class DevKeep(Request, frozen=True, tag="dev-keep"):
    """Somebody is still there: begin the lease anew."""

    app: str


class DevEnd(Request, frozen=True, tag="dev-end"):
    """Put the app's packed program back."""

    app: str


class Terminal(Request, frozen=True, tag="terminal"):
    """Start a shell of the user whom the image names, by somebody who knows the password. See `terminal.frames`."""

    password: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ok`, or why not in `error` (for people) and `reason` (for programs; see `update.snapshot.Reason`)."""

    ok: bool
    error: str = ""
    reason: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")


Plain = (
    Reboot
    | PowerOff
    | SlotsStatus
    | Commit
    | Rollback
    | Arm
    | Rescue
    | Eeprom
    | Reset
    | FactoryReset
    | Grow
    | UpdateAbort
    | UpdateStatus
    | Control
    | Password
    | NetworkTry
    | NetworkKeep
    | NetworkUndo
    | KeyAdd
    | KeyRemove
    | CertificateOwn
    | DevKeep
    | DevEnd
)
"""The actions that have one answer and need no pipe."""

Action = Plain | Update | UpdateResume | Certificate | DevStart | Terminal


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
