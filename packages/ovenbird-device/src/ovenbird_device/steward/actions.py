"""What the steward can do. Each action returns what its answer carries, when the work is done or queued."""

import subprocess
from typing import assert_never

import msgspec

from ..format.selector import Slot
from ..rescue import reset
from ..slots.disk import SlotsError
from ..update import record
from ..update.job import Job, Order
from ..update.policy import UpdateError
from .device import Device
from .protocol import (
    Action,
    Arm,
    Commit,
    PowerOff,
    Reboot,
    Rescue,
    Reset,
    Rollback,
    SlotsStatus,
    Update,
    UpdateAbort,
    UpdateResume,
    UpdateStatus,
)

Plain = Reboot | PowerOff | SlotsStatus | Commit | Rollback | Arm | Rescue | Reset | UpdateAbort | UpdateStatus
"""The actions that have one answer and need no pipe."""


_RESET_PATIENCE = 15.0
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
        case Reset(what):
            _reset(what, device)
        case UpdateAbort():
            device.updates.abort()
        case UpdateStatus():
            return device.updates.snapshot()
        case _:
            assert_never(action)
    return None


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


def begin(action: Update | UpdateResume, pipe: int, device: Device) -> Job:
    """Start an update, or go on with it, from a pipe, which is taken over in any case. Raises ActionError."""
    try:
        if isinstance(action, UpdateResume):
            return device.updates.resume(action.id, pipe, action.offset)
        order = Order(action.size, action.allow_downgrade, action.force, action.trial_only, action.reboot)
        return device.updates.start(pipe, order)
    except UpdateError as error:
        raise ActionError(str(error), error.reason) from error


def needs_pipe(action: Action) -> bool:
    """Whether the request must bring a pipe along."""
    return isinstance(action, Update | UpdateResume)


def systemctl(verb: str) -> None:
    """Queue a state of the whole system with systemd; it stops services in order and syncs. Raises ActionError."""
    command = ["systemctl", "--no-block", "--no-wall", verb]
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
