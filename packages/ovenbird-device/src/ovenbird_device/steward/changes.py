"""The list of changes: who had the steward do what, when, and how it went. Kept on data, bounded; the agent reads it.

One JSON object a line in `changes.jsonl`; a full file becomes `changes.1.jsonl`, whose predecessor goes. A line is
flushed before the answer, so what was answered is on the list. Secrets never enter it: `words` names what each action
tells, and everything else of a request stays out.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import msgspec

from ..accounts import keys
from ..network.settings import NetworkSettings
from ..slots import files
from .protocol import (
    Action,
    Arm,
    Certificate,
    CertificateOwn,
    Commit,
    Control,
    DevStart,
    Eeprom,
    FactoryReset,
    Grow,
    KeyAdd,
    KeyRemove,
    NetworkKeep,
    NetworkTry,
    NetworkUndo,
    Password,
    PowerOff,
    Reboot,
    Rescue,
    Reset,
    Rollback,
    Terminal,
    Update,
    UpdateAbort,
)

NAME, FORMER = "changes.jsonl", "changes.1.jsonl"
MOST = 128 << 10
"""Bytes of a file; there are two."""
_LONGEST_BY, _LONGEST_TEXT = 64, 400


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `by`: the address that asked for it through the page, or `root` for a program of the device."""

    time: int
    """Seconds since 1970 by the device's clock, which may be wrong."""
    by: str
    action: str
    """For programs: as the request is called."""
    what: str
    """For people."""
    done: bool
    message: str = ""
    """Why it was not done; or what came of it."""


class Changes:
    """The list in a folder."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()

    def note(self, by: str, action: str, what: str, *, done: bool, message: str = "") -> None:
        """Add a change. Data that cannot be written costs the line, and not the change."""
        change = Change(
            time=int(time.time()),
            by=_printable(by, _LONGEST_BY),
            action=action,
            what=_printable(what, _LONGEST_TEXT),
            done=done,
            message=_printable(message, _LONGEST_TEXT),
        )
        with self._lock:
            try:
                files.append(self._folder / NAME, msgspec.json.encode(change), self._most, self._folder / FORMER)
            except OSError as error:
                print(f"ovenbird-steward: a change cannot be put on the list: {error}", file=sys.stderr)


def read(folder: Path, most: int) -> list[Change]:
    """The newest changes, newest first. A line that a power cut has torn is passed over."""
    return files.newest((folder / NAME, folder / FORMER), Change, most, MOST)


def words(action: Action) -> str:
    """What an action changes, for people; empty for those that change nothing, and for what tells of itself."""
    match action:
        case Reboot():
            return "Restart"
        case PowerOff():
            return "Power off"
        case Commit():
            return "Commit the running slot"
        case Rollback():
            return "Go back to the slot before"
        case Arm(slot):
            return f"Try slot {slot}" if slot else "Try the other slot"
        case Rescue():
            return "Restart into rescue"
        case Eeprom():
            return "Update the boot loader"
        case Reset(what):
            return f"Reset {what}"
        case FactoryReset():
            return "Factory reset"
        case Grow():
            return "Let data grow"
        case Update():
            return "Update"
        case UpdateAbort():
            return "Give up the update"
        case Control(verb, unit):
            return f"{verb.capitalize()} {unit.removesuffix('.service').removeprefix('app-')}"
        case DevStart(app):
            return f"Run another program in place of {app[:64]}"
        case Password():
            return "Change the password"
        case Terminal():
            return "Open a terminal"
        case KeyAdd(user, key):
            return f"Give {user[:32]} the key {_key(key)}"
        case KeyRemove(user, fingerprint):
            return f"Take the key {fingerprint[:60]} from {user[:32]}"
        case Certificate():
            return "Give the page a certificate"
        case CertificateOwn():
            return "Use the device's own certificate"
        case NetworkTry(interface, settings):
            return f"Set {interface[:16]} {_network(settings)}"
        case NetworkKeep():
            return "Keep the change of the network"
        case NetworkUndo():
            return "Undo the change of the network"
        case _:
            return ""


def packed_again(app: str) -> str:
    """The end of another program, for people. It comes more than once, and in other ways than as an action."""
    return f"Put the packed program of {app[:64]} back"


def _key(text: str) -> str:
    """A key in a few words; not what somebody pasted in its place, which may be a secret."""
    try:
        key = keys.parse(text)
    except keys.BadKeyError:
        return "(none)"
    return f"{key.fingerprint} {key.comment}".strip()


def _network(settings: NetworkSettings | None) -> str:
    if settings is None:
        return "as the image has it"
    addresses = f"to {', '.join(settings.addresses)}" if settings.addresses else "to what the network gives"
    gateways = f" through {', '.join(settings.gateways)}" if settings.gateways else ""
    return addresses + gateways + (f", name servers {', '.join(settings.dns)}" if settings.dns else "")


def name(action: Action) -> str:
    """What an action is called in the protocol."""
    return str(action.__struct_config__.tag)


def _printable(text: str, most: int) -> str:
    """One bounded line without control characters: what others sent must not write the list's next line."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:most]).strip()
