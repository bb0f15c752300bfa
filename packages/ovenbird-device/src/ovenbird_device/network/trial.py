"""A change of the network on trial: in force at once, gone after a minute, unless somebody who still reaches the device
keeps it.

What is kept lies in `/etc/ovenbird/network` (it goes with the device into a new slot); what is in force, in
`/run/systemd/network`, which is made from it at each boot. So a restart by itself undoes what was not kept, and undoing
is always the same: make the second as the first says. The clock for it is systemd's: a timer is started before anything
changes, and needs neither agent nor steward.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..facts import hardware
from ..slots import files
from .settings import NetworkSettings, SettingsError, check, is_interface, render

SECONDS = 60
"""That a change has to be kept in; `ovenbird-network-undo.timer` says the same."""
TIMER = "ovenbird-network-undo.timer"
_ETHERNET = "1"  # ARPHRD_ETHER, which Wi-Fi is too
_PATIENCE = 15.0
_LATE = 5.0
"""Seconds in which the timer may come late."""


class TrialError(Exception):
    """It was not done; the message is for people, `reason` for programs."""

    def __init__(self, message: str, reason: str = "network") -> None:
        super().__init__(message)
        self.reason = reason


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A change that waits to be kept."""

    id: str
    """Whoever knows it may keep the change: it was told to whoever made it."""
    interface: str
    settings: NetworkSettings | None
    """None: as the image has it."""
    deadline_s: float
    """When it is undone, in seconds since the kernel started."""
    by: str = ""
    trouble: str = ""
    """Why it could not be put in force: it was undone at once."""


class Places(msgspec.Struct, frozen=True):
    """Where things are; tests put them elsewhere."""

    kept: Path = Path("/etc/ovenbird/network")
    active: Path = Path("/run/systemd/network")
    note: Path = Path("/run/ovenbird/network/pending.json")
    image: Path = Path("/usr/lib/systemd/network/80-ovenbird.network")
    system: Path = Path("/sys")

    def kept_file(self, name: str) -> Path:
        """The file of an interface that is kept."""
        return self.kept / f"{name}.network"

    def active_file(self, name: str) -> Path:
        """The file of an interface that is in force."""
        return self.active / f"10-ovenbird-{name}.network"


def pending(note: Path) -> Pending | None:
    """The change that waits, or could not be put in force lately; None if there is none (any more)."""
    found = files.load(note, Pending)
    return found if found is not None and time.monotonic() < found.deadline_s + _LATE else None


def changeable(name: str, system: Path) -> bool:
    """Whether an interface can be set: wired or Wi-Fi, of real hardware (or what a virtual machine takes for it)."""
    folder = system / "class/net" / name
    return is_interface(name) and (folder / "device").exists() and hardware.text(folder / "type") == _ETHERNET


def begin(places: Places, name: str, settings: NetworkSettings | None, by: str) -> Pending:
    """Get everything ready so that only `apply` is left, with the clock running. Raises TrialError."""
    if not changeable(name, places.system):
        raise TrialError("This device has no such interface that could be set.", "unknown")
    try:
        wanted = None if settings is None else check(settings)
    except SettingsError as error:
        raise TrialError(str(error), "settings") from error
    with _alone(places):
        if (other := pending(places.note)) is not None and not other.trouble:
            raise TrialError("Another change waits to be kept or undone.", "busy")
        change = Pending(
            id=os.urandom(16).hex(),
            interface=name,
            settings=wanted,
            deadline_s=round(time.monotonic() + SECONDS, 1),
            by=by,
        )
        try:
            files.save(places.note, change)
        except OSError as error:
            raise TrialError(f"The change could not be noted: {error.strerror}.") from error
        try:
            _run("systemctl", "restart", TIMER)
        except TrialError:
            places.note.unlink(missing_ok=True)
            raise
        return change


def apply(places: Places, change: Pending) -> None:
    """Put the change in force. What goes wrong undoes it at once, and stands in the note. Raises TrialError."""
    try:
        with _alone(places):
            if (now := pending(places.note)) is None or now.id != change.id:
                return
            _put(places.active_file(change.interface), _text(places, change.interface, change.settings))
            _reload()
    except (OSError, TrialError) as error:
        with suppress(OSError, TrialError):  # If even that is not possible now, the timer tries it again.
            undo(places)
            files.save(places.note, msgspec.structs.replace(change, trouble=str(error)))
        raise TrialError(str(error)) from error


def keep(places: Places, identity: str) -> Pending:
    """Keep the change that waits. Raises TrialError."""
    with _alone(places):
        change = pending(places.note)
        if change is None or change.trouble or not hmac.compare_digest(change.id.encode(), identity.encode()):
            raise TrialError("There is no such change any more: it was undone, or kept already.", "late")
        try:
            _put(places.kept_file(change.interface), _text(places, change.interface, change.settings))
            places.note.unlink(missing_ok=True)
        except OSError as error:
            raise TrialError(f"The change could not be kept: {error.strerror}.") from error
    with suppress(TrialError):  # It would find nothing to undo.
        _run("systemctl", "stop", TIMER)
    return change


def undo(places: Places, *, due: bool = False) -> Pending | None:
    """Go back to what is kept; returns the change that is gone. `due`: only if its time is over.

    Raises TrialError and OSError; then it is to be done again.
    """
    with _alone(places):
        change = files.load(places.note, Pending)
        if change is None or (due and time.monotonic() < change.deadline_s):
            return None
        kept = places.kept_file(change.interface)
        if not change.trouble:
            _put(places.active_file(change.interface), kept.read_text("utf-8") if kept.exists() else None)
            _reload()
        places.note.unlink(missing_ok=True)
    if not due:
        with suppress(TrialError):  # It would find nothing to undo.
            _run("systemctl", "stop", TIMER)
    return None if change.trouble else change


def _text(places: Places, name: str, settings: NetworkSettings | None) -> str | None:
    """The file's text; None where there is to be none."""
    if settings is None:
        return None
    image = ""
    with suppress(OSError):
        image = places.image.read_text("utf-8", "replace")
    return render(name, settings, image)


def _put(path: Path, text: str | None) -> None:
    """Replace a file as a whole, or take it away; durably. networkd is another user, and reads it. Raises OSError."""
    if text is not None:
        files.publish(path, text)
    elif path.exists():
        path.unlink()
        files.flush_folder(path.parent)


def _reload() -> None:
    """Have networkd read its files again; it sets up anew the interfaces whose files changed. Raises TrialError.

    `networkctl reconfigure` would look for the interface itself, by a kind of socket that the steward may not open.
    """
    _run("networkctl", "reload")


def _run(*words: str) -> None:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise TrialError(f"{words[0]} is not in this image.") from error
    except subprocess.TimeoutExpired as error:
        raise TrialError(f"{' '.join(words)} does not end.") from error
    if done.returncode:
        raise TrialError(done.stderr.strip()[-300:] or f"{' '.join(words)} ended with {done.returncode}.")


@contextmanager
def _alone(places: Places) -> Generator[None]:
    """One at a time, over processes."""
    places.note.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(places.note.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
