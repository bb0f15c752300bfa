"""Which slot boots next: one pure state machine, and its encoding for GRUB.

The state lives in two copies of a GRUB environment block on the `select` partition. `grub.cfg` reads it, counts down
and writes it *before* it boots, so a boot that never reports back has been counted. The same decision is `State.boot`
here; `tests/vm/test_grub.py` holds the two together.

    prepare(slot)   the installer is about to overwrite the slot that is not active: it is no fallback any more
    arm(slot)       its new content is written and verified: the next boots try it
    boot(...)       what GRUB does at each boot
    commit(slot)    the running slot is healthy: it is the active one from now on
    rollback()      the trial is over and failed; or, without a trial, go back to the slot before
    ask_rescue()    the next boot, and only that one, starts rescue

A committed slot is counted, too: `attempts` go down at each boot and `commit` fills them up again, so a committed
system that repeatedly fails to come up falls back to the other slot, if that one is known to be whole (`good`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from ovenbird_device.format import FormatError, grubenv

VERSION = "1"
TRIES = 3
"""How often a new slot is booted until it is given up, unless `arm` is told otherwise."""
ATTEMPTS = 6
"""How many boots in a row the active slot may fail; more than a person pulls the plug in impatience."""
MOST = 9
NOTHING = "-"
RESCUE = "r"
"""In the place of the trial: rescue was asked for. One variable for both, as there is only one next boot."""
COPIES = ("grub/grubenv", "grub/grubenv2")
"""The two copies on `select`, in the order in which they are written and read."""


class SelectorError(ValueError):
    """An event that makes no sense in this state; nothing was changed."""


class Slot(StrEnum):
    """One of the two places for a system."""

    A = "a"
    B = "b"

    @property
    def other(self) -> Slot:
        """The slot that this one is not."""
        return Slot.B if self is Slot.A else Slot.A


class Target(StrEnum):
    """What the selector boots."""

    A = "a"
    B = "b"
    RESCUE = "rescue"
    NONE = "none"


class Choice(msgspec.Struct, frozen=True):
    """The outcome of a boot decision."""

    target: Target
    trial: bool = False


class State(msgspec.Struct, frozen=True):
    """The selector's state. `good` slots hold a whole system that was committed once; `failed` ones were given up."""

    active: Slot = Slot.A
    trial: Slot | None = None
    tries: int = 0
    attempts: int = ATTEMPTS
    good: frozenset[Slot] = frozenset({Slot.A})
    failed: frozenset[Slot] = frozenset()
    rescue: bool = False
    """The next boot starts rescue, if there is one."""

    def __post_init__(self) -> None:
        if self.rescue and self.trial is not None:
            raise SelectorError("a slot is on trial: rescue has to wait for its end")
        if self.trial is self.active:
            raise SelectorError("the active slot cannot be on trial")
        if not (0 <= self.tries <= MOST and 0 <= self.attempts <= MOST):
            raise SelectorError(f"counters run from 0 to {MOST}")

    def prepare(self, slot: Slot) -> State:
        """Before the first byte of `slot` is overwritten: both copies must have landed by then.

        SelectorError for the active slot.
        """
        if slot is self.active:
            raise SelectorError(f"slot {slot} is the active one and must not be overwritten")
        kept = replace(self, trial=None, tries=0, rescue=False)
        return replace(kept, good=self.good - {slot}, failed=self.failed - {slot})

    def arm(self, slot: Slot, tries: int = TRIES) -> State:
        """After the last byte of `slot` is verified: try it at the next boots. SelectorError for the active slot."""
        if not 1 <= tries <= MOST:
            raise SelectorError(f"a trial has 1 to {MOST} tries")
        return replace(self.prepare(slot), trial=slot, tries=tries)

    def boot(self, present: Iterable[Slot] = (Slot.A, Slot.B), *, rescue: bool = False) -> tuple[State, Choice]:
        """What GRUB decides, and the state that it saves before it boots.

        `present` are the slots whose boot partition has a readable `slot.cfg`.
        """
        there = frozenset(present)
        if self.rescue:
            plain = replace(self, rescue=False)
            return (plain, Choice(Target.RESCUE)) if rescue else plain.boot(there)
        if self.trial is not None:
            if self.tries and self.trial in there:
                return replace(self, tries=self.tries - 1), Choice(Target(self.trial), trial=True)
            over = replace(self, trial=None, tries=0, failed=self.failed | {self.trial})
            return over.boot(there, rescue=rescue)
        other = self.active.other
        if self.active in there and self.attempts:
            return replace(self, attempts=self.attempts - 1), Choice(Target(self.active))
        if other in there and other in self.good:
            return self._fallen()._counted(), Choice(Target(other))
        if rescue:
            return self, Choice(Target.RESCUE)
        if self.active in there:
            return self, Choice(Target(self.active))
        if other in there:
            return self._fallen()._counted(), Choice(Target(other))
        return self, Choice(Target.NONE)

    def _fallen(self) -> State:
        gone = {self.active}
        return replace(
            self,
            active=self.active.other,
            attempts=ATTEMPTS,
            good=self.good - gone,
            failed=(self.failed | gone) - {self.active.other},
        )

    def _counted(self) -> State:
        return replace(self, attempts=self.attempts - 1)

    def commit(self, running: Slot) -> State:
        """`running` is healthy: it becomes (or stays) the active slot, and all its attempts are given back.

        The active slot may report health while another is armed: that changes only its counter. SelectorError for a
        slot that is neither active nor on trial (somebody chose it in the menu).
        """
        if running is self.active:
            return replace(self, attempts=ATTEMPTS, good=self.good | {running}, failed=self.failed - {running})
        if running is not self.trial:
            raise SelectorError(f"slot {running} is neither active nor on trial")
        return State(active=running, good=self.good | {running}, failed=self.failed - {running})

    def rollback(self) -> State:
        """Give up the trial; without one, make the slot before active again. SelectorError if there is none to go
        to.
        """
        if self.trial is not None:
            return replace(self, trial=None, tries=0, failed=self.failed | {self.trial})
        if self.active.other not in self.good:
            raise SelectorError(f"slot {self.active.other} holds no system to go back to")
        return self._fallen()

    def ask_rescue(self) -> State:
        """Let the next boot start rescue. SelectorError while a slot is on trial."""
        return replace(self, rescue=True)


def _flag(value: bool) -> str:
    return "1" if value else "0"


def encode(state: State) -> bytes:
    """The environment block of a state. Every value is one character, so no rewrite ever moves another variable."""
    return grubenv.dump(
        {
            "ovenbird": VERSION,
            "active": state.active,
            "trial": RESCUE if state.rescue else state.trial or NOTHING,
            "tries": str(state.tries),
            "attempts": str(state.attempts),
            "good_a": _flag(Slot.A in state.good),
            "good_b": _flag(Slot.B in state.good),
            "failed_a": _flag(Slot.A in state.failed),
            "failed_b": _flag(Slot.B in state.failed),
        }
    )


def decode_one(block: bytes) -> State:
    """The state of one copy; FormatError if it is not one that `grub.cfg` would accept."""
    values = grubenv.load(block)
    if values.get("ovenbird") != VERSION:
        raise FormatError("the environment block is not Ovenbird's, or of another version")
    try:
        active = Slot(values["active"])
        trial = None if values["trial"] in (NOTHING, RESCUE) else Slot(values["trial"])
        return State(
            active=active,
            trial=trial,
            tries=_counter(values, "tries"),
            attempts=_counter(values, "attempts"),
            good=_flags(values, "good"),
            failed=_flags(values, "failed"),
            rescue=values["trial"] == RESCUE,
        )
    except (KeyError, ValueError) as error:
        raise FormatError(f"the environment block makes no sense: {error}") from error


def _counter(values: Mapping[str, str], name: str) -> int:
    text = values[name]
    if len(text) != 1 or text not in "0123456789":
        raise FormatError(f"{name} is not a digit")
    return int(text)


def _flags(values: Mapping[str, str], name: str) -> frozenset[Slot]:
    for slot in Slot:
        if values[f"{name}_{slot}"] not in ("0", "1"):
            raise FormatError(f"{name}_{slot} is neither 0 nor 1")
    return frozenset(slot for slot in Slot if values[f"{name}_{slot}"] == "1")


class Decoded(msgspec.Struct, frozen=True):
    """A state, and which copies have to be written again because they cannot be read or say something else."""

    state: State
    stale: tuple[int, ...]


def decode(copies: tuple[bytes, bytes], running: Slot = Slot.A) -> Decoded:
    """The state of the two copies; never fails. The first that makes sense counts.

    When neither does, the slot that runs is taken for the committed one: GRUB chose it without knowing better, either.
    """
    states: list[State | None] = []
    for block in copies:
        try:
            states.append(decode_one(block))
        except FormatError:
            states.append(None)
    known = next((state for state in states if state is not None), None)
    state = known or State(active=running, good=frozenset({running}))
    return Decoded(state, tuple(index for index, one in enumerate(states) if one != state))
