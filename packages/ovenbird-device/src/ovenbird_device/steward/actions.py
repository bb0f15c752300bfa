"""What the steward can do. Each action returns what its answer carries, when the work is done or queued."""

import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import assert_never

import msgspec

from ..accounts import users
from ..dev import session
from ..facts import boot
from ..format.selector import Slot
from ..network import trial
from ..network.settings import NetworkSettings
from ..provision import password
from ..rescue import reset
from ..services import control
from ..slots.disk import SlotsError
from ..terminal import opening
from ..tls import certificate, store
from ..tls.certificate import Facts
from ..update import job, record
from ..update.job import Order
from ..update.snapshot import Update as Snapshot
from ..update.snapshot import UpdateError
from . import changes
from .device import Device
from .protocol import (
    Arm,
    CertificateOwn,
    Commit,
    Control,
    DevEnd,
    DevKeep,
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
    Plain,
    PowerOff,
    Reboot,
    Rescue,
    Reset,
    Rollback,
    SlotsStatus,
    Terminal,
    Update,
    UpdateAbort,
    UpdateResume,
    UpdateStatus,
)

_RESET_PATIENCE = 15.0
_NETWORK_DELAY = 1.5
"""Seconds in which an answer gets back over a network that is about to change."""
_PIPE_PATIENCE = 10.0
_ORDER_PATIENCE = 45.0  # An emulated device that is busy once needed more than 15.
"""Seconds; whoever asks waits for 60."""


class ActionError(Exception):
    """The action could not be done; the message is for people, `reason` for programs."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def act(action: Plain, device: Device) -> msgspec.Struct | None:
    """Do one action. Raises ActionError."""
    try:
        return _act(action, device)
    except SlotsError as error:
        raise ActionError(f"{str(error)[:1].upper()}{str(error)[1:]}.", "slots") from error
    except UpdateError as error:
        raise ActionError(str(error), error.reason) from error
    except control.ControlError as error:
        raise ActionError(str(error), error.reason) from error
    except password.PasswordError as error:
        raise ActionError(str(error), "password") from error
    except trial.TrialError as error:
        raise ActionError(str(error), error.reason) from error
    except session.DevError as error:
        raise ActionError(str(error), error.reason) from error


def _act(action: Plain, device: Device) -> msgspec.Struct | None:
    match action:
        case Reboot():
            systemctl("reboot")
        case PowerOff():
            systemctl("poweroff")
        case SlotsStatus():
            return device.slots().status()
        case Commit():
            slots = device.slots()
            slots.commit()
            record.settle(slots, "committed", "by-hand", "Somebody committed it.")
            return slots.status()
        case Rollback(reboot):
            slots = device.slots()
            slots.rollback()
            record.settle(slots, "rolled-back", "by-hand", "Somebody rolled it back.")
            if reboot:
                systemctl("reboot")
            return slots.status()
        case Arm(slot, reboot):
            slots = device.slots()
            slots.arm(None if slot is None else Slot(slot))
            if reboot:
                systemctl("reboot")
            return slots.status()
        case Rescue():
            device.slots().ask_rescue()
            systemctl("reboot")
        case Eeprom():
            _boot_loader(device)
        case Reset(what):
            _reset(what, device)
        case FactoryReset():
            _factory_reset(device)
        case Grow():
            systemctl("restart", "ovenbird-grow.service")
        case UpdateAbort():
            device.updates.abort()
        case UpdateStatus():
            return device.updates.snapshot()
        case Control(verb, unit):
            control.order(verb, unit, device.places.apps)
        case Password(old, new):
            _password(old, new, device)
        case NetworkTry(interface, settings):
            return _network(interface, settings, action.by, device)
        case NetworkKeep(identity):
            return trial.keep(device.places.network, identity)
        case NetworkUndo():
            if trial.undo(device.places.network) is None:
                raise ActionError("There is no such change any more: it was undone, or kept already.", "late")
        case KeyAdd() | KeyRemove():
            _key(action, device)
        case CertificateOwn():
            _own_certificate(device)
        case DevKeep(app):
            with device.developing:
                session.keep(app, device.dev_places())
        case DevEnd():
            _end_development(action, device)
        case _:
            assert_never(action)
    return None


def _boot_loader(device: Device) -> None:
    if device.updates.busy:
        raise ActionError("An update is under way; the boot loader comes before or after it.", "busy")
    slots = device.slots()
    slots.ask_boot_loader()
    try:
        systemctl("reboot")
    except ActionError:
        slots.settle_boot_loader()  # what nobody restarts for must not happen on some other day
        raise


def _password(old: str, new: str, device: Device) -> None:
    try:
        password.change(device.places.state / password.FILE, old, new)
    except OSError as error:
        raise ActionError(f"The password could not be kept: {error.strerror}.") from error


def _key(action: KeyAdd | KeyRemove, device: Device) -> None:
    places = device.places.users
    try:
        if isinstance(action, KeyAdd):
            users.add(places, action.user, action.key)
        else:
            users.remove(places, action.user, action.fingerprint)
    except users.UsersError as error:
        raise ActionError(str(error), error.reason) from error
    except OSError as error:
        raise ActionError(f"The keys could not be kept: {error.strerror}.") from error


def certify(pipe: int, device: Device) -> Facts:
    """Serve the page with the certificate that comes through a pipe. Raises ActionError."""
    try:
        text = _whole(pipe, certificate.MOST_BYTES).decode("ascii", "replace")
        with device.certifying:
            return store.give(device.places.certificates, text, time.time())
    except certificate.CertificateError as error:
        raise ActionError(str(error), "certificate") from error
    except OSError as error:
        raise ActionError(f"The certificate could not be kept: {error.strerror}.") from error


def _whole(pipe: int, most: int) -> bytes:
    """What comes through a pipe to its end, or one byte more than `most`. Raises ActionError for a silent sender."""
    received = b""
    while len(received) <= most:
        if not select.select([pipe], [], [], _PIPE_PATIENCE)[0]:
            raise ActionError("Its sender has gone silent.")
        part = os.read(pipe, most + 1 - len(received))
        if not part:
            break
        received += part
    return received


def _own_certificate(device: Device) -> None:
    try:
        with device.certifying:
            withdrawn = store.withdraw(device.places.certificates)
    except OSError as error:
        raise ActionError(f"The certificate could not be taken away: {error.strerror}.") from error
    if not withdrawn:
        raise ActionError("The device uses its own certificate already.", "certificate")


def _end_development(action: DevEnd, device: Device) -> None:
    """It is asked for by whoever ends a session and again when its connection is gone: the list has it once."""
    by, what = action.by or "agent", changes.packed_again(action.app)
    try:
        with device.developing:
            ended = session.end(action.app, device.dev_places())
    except session.DevError as error:
        device.changes.note(by, changes.name(action), what, done=False, message=str(error))
        raise
    if ended:
        device.changes.note(by, changes.name(action), what, done=True)


def _network(name: str, settings: NetworkSettings | None, by: str, device: Device) -> trial.Pending:
    """Get the change ready, and put it in force once whoever asked for it has the answer."""
    places = device.places.network
    try:
        change = trial.begin(places, name, settings, by)
    except OSError as error:
        raise ActionError(f"The change could not be made: {error}.") from error

    def apply() -> None:
        try:
            trial.apply(places, change)
        except trial.TrialError as error:
            what = f"Undo the network of {name}"
            device.changes.note("root", "network-undo", what, done=True, message=f"It could not be set: {error}")

    threading.Timer(_NETWORK_DELAY, apply).start()
    return change


def _reset(what: str, device: Device) -> None:
    """Have the one service do it that may mount and make file systems; it watches for the order's file."""
    if device.slots().disk.running is not None:
        raise ActionError("Only rescue can do that, as a running system uses what would be reset.", "slots")
    if device.updates.busy:
        raise ActionError("An update is under way.", "busy")
    try:
        reset.order(what, device.places.state)
        answer = reset.wait(device.places.state, _RESET_PATIENCE)
    except OSError as error:
        raise ActionError(f"The order could not be given: {error}.") from error
    if answer:
        raise ActionError(answer, "reset")


def _factory_reset(device: Device) -> None:
    """Leave the order for the initrd, which alone sees data before anybody uses it, and restart."""
    if boot.read_note(device.places.note).data not in ("ok", "repaired"):
        raise ActionError("This device runs without its data partition, so nothing can be erased.", "data")
    if device.updates.busy:
        raise ActionError("An update is under way.", "busy")
    try:
        reset.order_at_boot(device.places.state)
    except OSError as error:
        raise ActionError(f"The order could not be given: {error}.") from error
    try:
        systemctl("reboot")
    except ActionError:
        reset.withdraw(device.places.state)
        raise


def begin(action: Update | UpdateResume, pipe: int, device: Device, ended: Callable[[Snapshot], None]) -> job.Job:
    """Start an update, or go on with it, from a pipe, which is taken over in any case. `ended` is told how one that was
    started ends. Raises ActionError.
    """
    try:
        if isinstance(action, UpdateResume):
            return device.updates.resume(action.id, pipe, action.offset)
        order = Order(action.size, action.allow_downgrade, action.force, action.trial_only, action.reboot)
        return device.updates.start(pipe, order, ended)
    except UpdateError as error:
        raise ActionError(str(error), error.reason) from error


def develop(action: DevStart, pipe: int, device: Device) -> msgspec.Struct:
    """Run another program in place of an app's. Raises ActionError."""
    try:
        with device.developing:
            return session.start(action.app, pipe, device.dev_places())
    except session.DevError as error:
        raise ActionError(str(error), error.reason) from error


def open_terminal(action: Terminal, by: str, device: Device) -> socket.socket:
    """The connection to a fresh shell. Raises ActionError."""
    places = device.places
    try:
        return opening.start(places.terminal, places.users, places.state / password.FILE, action.password, by)
    except opening.TerminalError as error:
        raise ActionError(str(error), error.reason) from error


def systemctl(verb: str, *units: str) -> None:
    """Queue something with systemd: a state of the whole system (it stops services in order and syncs), or units.

    Raises ActionError.
    """
    command = ["systemctl", "--no-block", "--no-wall", verb, *units]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ORDER_PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise ActionError("systemctl is not in this image.") from error
    except subprocess.TimeoutExpired as error:
        raise ActionError(f"systemd did not take the order to {verb} within {_ORDER_PATIENCE:.0f} seconds.") from error
    if done.returncode != 0:
        raise ActionError(done.stderr.strip()[-400:] or f"systemctl {verb} failed with code {done.returncode}.")
