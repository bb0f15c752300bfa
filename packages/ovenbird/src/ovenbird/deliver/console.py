"""A device as the daily verbs need it: how it is, its services, its restart, its password. The answers are the device's
own JSON (docs/device.md), read so that what an older device leaves out or a newer one adds does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Literal, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from ovenbird.deliver.link import GLANCE, DeviceError, Link, PasswordError
from ovenbird.deliver.target import Target

_Value = TypeVar("_Value")

Order = Literal["start", "stop", "restart"]


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What a device tells everybody about itself. `id` stays the same over restarts and updates."""

    name: str
    version: str
    board: str = ""
    model: str = ""
    slot: str = ""
    health: str = ""
    boot_id: str = ""
    hostname: str = ""
    id: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """An app or a unit. `memory` is bytes, `since_s` seconds since it came into its state."""

    name: str
    unit: str = ""
    app: bool = False
    kind: str = ""
    description: str = ""
    state: str = ""
    since_s: float | None = None
    restarts: int = 0
    memory: int | None = None
    cpu_s: float | None = None
    pid: int | None = None
    exit: str = ""
    last_line: str = ""
    ports: tuple[str, ...] = ()
    start: str = ""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """All that a device runs, as far as was asked."""

    apps: tuple[Service, ...] = ()
    units: tuple[Service, ...] = ()


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order to a service."""

    name: str
    state: str = ""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a new password."""

    hint: str = ""


class Console(Link):
    """A device that is watched and operated. What it tells without the password is asked without, as its check costs
    a small device a second of its time.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._reserved = False  # whether this device tells what it runs to those with the password only

    def glance(self) -> Glance:
        """How it is."""
        return self.value(self.send("GET", "/status", timeout=httpx.Timeout(GLANCE), signed=False), Glance)

    def services(self, *, units: bool = False) -> Services:
        """Its apps, and with `units` the system's units too. Their last lines are told for the password, if at all."""
        return self.read("/services", {"all": "1"} if units else {}, Services, lines=True)

    def service(self, name: str, *, lines: bool = False) -> Service:
        """One of them, with its last line if `lines` are wanted and there is a password."""
        with self._named():
            return self.read(service_path(name), {}, Service, lines=lines)

    def read(self, path: str, query: Mapping[str, str], kind: type[_Value], *, lines: bool = False) -> _Value:
        """What it answers to a question; `lines` of logs it tells for the password only."""
        if lines and self.target.password is not None:
            return self.value(self.send("GET", path, query), kind)
        return self.value(self._reading(lambda signed: self.send("GET", path, query, signed=signed)), kind)

    @contextmanager
    def listen(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Generator[Iterator[bytes]]:
        """The pieces of a stream."""
        with ExitStack() as stack, self._named():
            yield self._reading(lambda signed: stack.enter_context(self.stream(path, query, headers, signed=signed)))

    def _reading(self, ask: Callable[[bool], _Value]) -> _Value:
        if not self._reserved:
            try:
                return ask(False)
            except PasswordError:
                if self.target.password is None:
                    raise
                self._reserved = True
        return ask(True)

    def order(self, name: str, order: Order) -> Ordered:
        """Start, stop or restart one of them; the answer comes when the device has taken the order."""
        with self._named():
            return self.value(self.send("POST", f"{service_path(name)}/{order}"), Ordered)

    def reboot(self) -> None:
        """Restart it."""
        self.send("POST", "/reboot")

    def change_password(self, new: str) -> str:
        """Give it a new password in place of the one that this connection has; what it has to say about that."""
        form = {"old": self.target.password or "", "new": new}
        # The old one in the form is the proof; sent twice, it would be checked twice.
        return self.value(self.send("POST", "/password", form=form, signed=False), Changed).hint

    @contextmanager
    def _named(self) -> Generator[None]:
        """Where a device does not know a name, its user finds those that it knows."""
        try:
            yield
        except DeviceError as error:
            if error.status == 404 and not error.hint:
                error.hint = f"see what it runs: ovenbird services --all {self.target.name}"
            raise


def service_path(name: str) -> str:
    """The URL of a service."""
    return f"/services/{quote(name, safe='@')}"
