"""Which disks a power cut may leave behind: an endless choice, of which a fair and repeatable part is made here."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.crash.trace import SECTOR, Flush, Landed, Medium, Step, Write

Part = tuple[tuple[int, int], ...] | None


def after(medium: Medium, dice: random.Random, rounds: int) -> Iterator[Landed]:
    """What may have landed beside what is there for good.

    All that was written; nothing; the last write alone, or torn, with and without those before it; and for `rounds`
    times three, any subset of the writes, whole, and in pieces of 4096 and of 512 bytes.
    """
    loose = list(medium.loose)
    yield dict.fromkeys(loose)
    if not loose:
        return
    yield {}
    last = loose[-1]
    before: dict[int, Part] = dict.fromkeys(loose[:-1])
    yield {last: None}
    for torn in _torn(medium.write(last), dice):
        yield {**before, last: torn}
        yield {last: torn}
    for _ in range(rounds):
        chosen = [one for one in loose if dice.random() < 0.5]
        yield dict.fromkeys(chosen)
        for unit in (4096, SECTOR):
            yield {one: _pieces(medium.write(one), unit, dice) for one in chosen}


def _torn(step: Write, dice: random.Random) -> Iterator[Part]:
    """One write, torn: at the 4096 and 512 byte borders, and a single sector in the middle of its bytes."""
    size = len(step.data)
    for unit in (4096, SECTOR):
        if size > unit:
            at = dice.randrange(unit, size, unit)
            yield ((0, at),)
            yield ((at, size),)
            yield _pieces(step, unit, dice)
    if size == SECTOR:
        # A sector lands whole or not at all, say disks. Not to trust them: its first bytes, or its last ones.
        for at in range(24, 160):
            yield ((0, at),)
            yield ((at, size),)


def _pieces(step: Write, unit: int, dice: random.Random) -> Part:
    size = len(step.data)
    return tuple((at, min(at + unit, size)) for at in range(0, size, unit) if dice.random() < 0.5)


def crash_points(steps: list[Step]) -> list[int]:
    """After how many steps the power may fail: a cut before a flush is done is one before it."""
    return [0, *(number for number, step in enumerate(steps, 1) if not isinstance(step, Flush)), len(steps)]
