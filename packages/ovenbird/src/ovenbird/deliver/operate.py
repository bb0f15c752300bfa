"""What is done to a device by hand, each followed until it has come about: an order to a service, a restart, a new
password.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ovenbird.deliver.access import Ask, with_password
from ovenbird.deliver.away import AWAY, LOOK, another_boot
from ovenbird.deliver.client import Device
from ovenbird.deliver.console import Console, Glance, Order, Service
from ovenbird.deliver.link import DeviceError, PasswordError
from ovenbird.deliver.target import Target, remember
from ovenbird.errors import NetworkError, OvenbirdError

SETTLING = 30.0
"""Seconds that a service may take to follow an order before we go; systemd goes on."""
_MOVING = frozenset({"starting", "stopping"})
_FAILING = frozenset({"failed", "restarting"})
"""Given up, or about to be started again because it failed."""


def order(target: Target, ask: Ask, name: str, what: Order, *, wait: bool = True) -> str:
    """Start, stop or restart a service; how it is then, in words.

    Raises DeviceError for an unknown name, and for a service that fails or does not follow in time.
    """

    def give(target: Target) -> tuple[Target, Service, str]:
        with Console(target) as console:
            before = console.service(name)
            return target, before, console.order(name, what).state

    target, before, state = with_password(target, ask, give)
    if not wait:
        return f"{name} is {state or 'about to ' + what}"
    now = _settled(target, name, what, before)
    if what != "stop" and now.state in _FAILING:
        why = f" ({now.exit})" if now.exit else ""
        raise DeviceError(f"{name} failed{why}: {now.last_line}".rstrip(": "), hint=_see_log(target, name))
    return f"{name} is {now.state}"


def _settled(target: Target, name: str, what: Order, before: Service) -> Service:
    """The service when it has followed the order, and still has at a second look: many fail right after their start.

    Raises DeviceError where it does not in time.
    """
    end = time.monotonic() + SETTLING
    last: Service | None = None
    with Console(target) as console:
        while True:
            now = console.service(name)
            followed = _followed(what, before, now)
            if followed and now.state in _FAILING:
                return console.service(name, lines=True)
            if followed and last is not None and (last.pid, last.restarts) == (now.pid, now.restarts):
                return now
            last = now if followed else None
            if time.monotonic() > end:
                raise DeviceError(f"{name} is still {now.state} after {SETTLING:.0f} s", hint=_see_log(target, name))
            time.sleep(LOOK)


def _followed(what: Order, before: Service, now: Service) -> bool:
    if now.state in _MOVING:
        return False
    if what == "stop":
        return now.state != "running"
    if what == "start":
        return now.state in ("running", "finished") or (now.state != "stopped" and _changed(before, now))
    return _changed(before, now)


def _changed(before: Service, now: Service) -> bool:
    """Whether it is in another life than before the order: systemd may not have begun yet."""
    if now.state not in ("running", before.state) or now.pid != before.pid:
        return True
    return now.since_s is not None and before.since_s is not None and now.since_s < before.since_s


def _see_log(target: Target, name: str) -> str:
    return f"see why: ovenbird logs {target.name} --app {name}"


@dataclass(frozen=True, slots=True)
class Restart:
    """A device that is back, and after how many seconds; without `glance`, nobody waited."""

    glance: Glance | None = None
    seconds: float = 0.0

    def words(self) -> str:
        """For people."""
        if self.glance is None:
            return "restarts"
        slot = f" from slot {self.glance.slot}" if self.glance.slot else ""
        return f"back after {self.seconds:.0f} s: {self.glance.name} {self.glance.version}{slot}"


def reboot(
    target: Target, ask: Ask, *, wait: bool, patience: float = AWAY, on_down: Callable[[], None] = lambda: None
) -> Restart:
    """Restart a device, and wait until it is back. Raises NetworkError if it stays away for `patience` seconds."""

    def give(target: Target) -> None:
        with Console(target) as console:
            console.reboot()

    with Console(replace(target, password=None)) as link:
        if not wait:
            with_password(target, ask, give)
            return Restart()
        boot = link.glance().boot_id
        begin = time.monotonic()
        with_password(target, ask, give)
        back = another_boot(link.glance, boot, target.name, on_down, patience)
    return Restart(back, time.monotonic() - begin)


def change_password(target: Target, ask: Ask, new: str) -> str:
    """Give a device a new password, and remember it. Returns what the device has to say about it, if anything.

    Raises DeviceError if it does not take it.
    """

    def change(target: Target) -> tuple[Target, str]:
        with Console(target) as console:
            try:
                return target, console.change_password(new)
            except NetworkError:
                if not _taken(replace(target, password=new)):
                    raise
        return target, ""

    # Not remembered by the way: what is given here is the password that goes.
    changed, said = with_password(replace(target, given=False), ask, change)
    try:
        remember(replace(changed, password=new))
    except OvenbirdError as error:
        raise OvenbirdError(
            f"{target.name} has the new password, but it could not be kept here: {error}", hint=error.hint
        ) from error
    return said


def _taken(target: Target) -> bool:
    """Whether the device has the password already: the answer that says so may be lost on the way."""
    try:
        with Device(target) as device:
            device.check()
    except (NetworkError, PasswordError):
        return False
    return True
