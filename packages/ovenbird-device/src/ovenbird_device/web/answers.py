"""The small answers that many URLs give programs: done, taken, refused. Larger ones are where they are made."""

from __future__ import annotations

import msgspec

from ..update.snapshot import Update
from .update.events import Event


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was not done: a sentence, perhaps another on what to do, and for updates more."""

    error: str
    hint: str = ""
    reason: str = ""
    """For programs; see `update.snapshot.Reason`."""
    id: str = ""
    """Of the update that is under way."""
    offset: int | None = None
    """How many bytes of it have come."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The order was taken; `accepted` is its name."""

    accepted: str


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """How a service is after an order was taken."""

    name: str
    state: str


class Changed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The password is changed."""

    changed: bool
    hint: str = ""


class ResetDone(msgspec.Struct, frozen=True, kw_only=True):
    """Rescue has reset something."""

    reset: str
    message: str


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change of the network: `kept` or `undone`."""

    outcome: str


class Developed(msgspec.Struct, frozen=True, kw_only=True):
    """Another program runs in place of an app's: how many entries and bytes came."""

    app: str
    entries: int
    size: int


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """The packed program of this app runs again."""

    app: str


class TerminalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose shell a terminal is, and how many are open."""

    user: str
    open: int
    most: int


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Opens one WebSocket at `path`, once and soon: sent as the second of its protocols, behind `protocol`."""

    ticket: str
    path: str
    protocol: str
    valid_s: float


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An update, and what happened so far."""

    job: Update
    events: list[Event]
