"""How the slots are, as one value: what the steward tells the agent, and the agent everybody."""

from __future__ import annotations

import msgspec


class SlotStatus(msgspec.Struct, frozen=True):
    """One slot. `good`: holds a whole system that was committed once. `bootable`: its boot partition can be read."""

    slot: str
    running: bool
    active: bool
    trial: bool
    good: bool
    failed: bool
    bootable: bool
    hash: str = ""
    version: str = ""
    name: str = ""
    bundle: str = ""
    installed: int = 0


class BootLoader(msgspec.Struct, frozen=True):
    """The boot loader in a Raspberry Pi's EEPROM. Times are when one was built, in seconds since 1970."""

    built: int
    problem: str = ""
    """Why this device must not be updated with it, and what to do; empty if it may be."""
    carried: int | None = None
    """The one that the card carries."""
    hindrance: str = ""
    """Why that one cannot be asked for; empty if it can."""
    last: str = ""
    """How the last request for it ended."""


class Status(msgspec.Struct, frozen=True):
    """Both slots and the selector's state. `running` is empty in rescue; `trial_boot`: this boot is a trial."""

    running: str
    active: str
    trial: str
    trial_boot: bool
    tries: int
    attempts: int
    rescue: bool
    slots: tuple[SlotStatus, ...]
    damaged: bool = False
    """A copy of the selector's state could not be read; the next change repairs it."""
    boot_loader: BootLoader | None = None
    """None on machines without an EEPROM of a Raspberry Pi."""
