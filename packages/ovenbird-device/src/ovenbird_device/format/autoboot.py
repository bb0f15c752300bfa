"""Which slot a Raspberry Pi boots next: the selector's state as `autoboot.txt`, all of it in one sector of 512 bytes.

The Pi's own boot loader reads the file: `boot_partition` is the active slot, and while a trial is armed the section
`[tryboot]` names the other one, which is booted once, after a restart with the firmware's `tryboot` flag. The firmware
forgets the flag by itself, so whatever becomes of the trial, the next boot is the active slot again. It cannot count
and cannot write; what it cannot keep stands in comments of the same sector, and the initrd of whichever slot came up
goes on with it. `booted` is what it does; its shell is held to it by `tests/unit/initrd/test_autoboot.py`.

Without an armed trial the section is a comment: boot loaders from before 2022-10-18 do not know it and would take its
line for everybody's. Every state has the same length, so nothing moves, and one sector decides.

Sources: Raspberry Pi documentation, "config.txt": "autoboot.txt" (at most 512 bytes; filters [all], [none], [tryboot];
`tryboot_a_b`); rpi-eeprom, "firmware-2711/release-notes.md", 2022-10-18.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from msgspec.structs import replace

from ovenbird_device.format import FormatError
from ovenbird_device.format.selector import NOTHING, Decoded, Slot, State, Target

NAME = "autoboot.txt"
SIZE = 512
TRIES = 1
"""The flag is good for one boot, so a trial on a Pi has one."""
PARTITIONS = {Slot.A: 2, Slot.B: 3}
"""The numbers of the boot partitions, by which the firmware finds them."""
_VERSION = "1"
_SUM = 16
_PADDING = "#" * 63 + "\n"
_STATE = re.compile(
    r"^# ovenbird=1 active=([ab]) trial=([-ab]) tries=([0-9]) attempts=([0-9])\n"
    r"# good_a=([01]) good_b=([01]) failed_a=([01]) failed_b=([01])\n",
    re.MULTILINE,
)


class Way(StrEnum):
    """How a boot goes on once the initrd has looked at the state."""

    GO = "go"
    TRIAL = "trial"
    AGAIN = "again"
    """Restart: the state that was just written names the other slot."""


def armed(state: State) -> bool:
    """Whether a boot with the flag would try a slot."""
    return state.trial is not None and state.tries > 0


def encode(state: State) -> bytes:
    """The sector of a state. A wish for rescue has no place in it: there is no rescue on a Pi."""
    mark, rest = ("", "#\n") if armed(state) else ("#", "")
    text = (
        f"[all]\ntryboot_a_b=1\nboot_partition={PARTITIONS[state.active]}\n"
        f"{mark}[tryboot]\n{mark}boot_partition={PARTITIONS[state.active.other]}\n{rest}"
        f"# ovenbird={_VERSION} active={state.active} trial={state.trial or NOTHING} "
        f"tries={state.tries} attempts={state.attempts}\n"
        f"# good_a={int(Slot.A in state.good)} good_b={int(Slot.B in state.good)} "
        f"failed_a={int(Slot.A in state.failed)} failed_b={int(Slot.B in state.failed)}\n"
    )
    text += f"# sha256={hashlib.sha256(text.encode('ascii')).hexdigest()[:_SUM]}\n"
    return (text + _PADDING * (SIZE // len(_PADDING) + 1))[: SIZE - 1].encode("ascii") + b"\n"


def decode_one(sector: bytes) -> State:
    """The state of a sector; FormatError for any that `encode` would not write."""
    found = _STATE.search(sector.decode("latin-1"))
    if found is None:
        raise FormatError("autoboot.txt is not Ovenbird's, or of another version")
    active, trial, tries, attempts, *flags = found.groups()
    try:
        state = State(
            active=Slot(active),
            trial=None if trial == NOTHING else Slot(trial),
            tries=int(tries),
            attempts=int(attempts),
            good=frozenset(slot for slot, flag in zip(Slot, flags[:2], strict=True) if flag == "1"),
            failed=frozenset(slot for slot, flag in zip(Slot, flags[2:], strict=True) if flag == "1"),
        )
    except ValueError as error:
        raise FormatError(f"autoboot.txt makes no sense: {error}") from error
    if encode(state) != sector:
        raise FormatError("autoboot.txt was changed: it is not what its own check sum says")
    return state


def decode(sector: bytes, running: Slot = Slot.A) -> Decoded:
    """The state of the sector; never fails. When it makes no sense, the slot that runs is taken for the committed one:
    the firmware chose it without knowing better, either.
    """
    try:
        return Decoded(decode_one(sector), ())
    except FormatError:
        return Decoded(State(active=running, good=frozenset({running})), (0,))


def booted(state: State, running: Slot, *, tryboot: bool | None) -> tuple[State, Way]:
    """What the initrd of the slot `running` decides and writes before anything else, with the firmware's flag or
    without it; None: a firmware that does not tell. GRUB counts before it chooses, the Pi's firmware chooses before
    somebody can count; the rules are the same: see `State.boot`.
    """
    if tryboot is not False and armed(state) and state.trial is running:
        return replace(state, tries=0), Way.TRIAL
    present = (running,) if running is not state.active else (running, running.other)
    after, choice = replace(state, tries=0).boot(present)
    return after, Way.GO if choice.target is Target(running) else Way.AGAIN
