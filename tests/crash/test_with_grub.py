"""The judge of the crash points (`reader`) held against the real GRUB: a sample of crashed selectors, really booted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ovenbird_device.format import selector
from tests.crash import reader, states, story
from tests.crash.trace import Crashed, Medium
from tests.vm.test_grub import Machine, make

pytestmark = pytest.mark.vm

SAMPLES = 8
BOOTS = 4

Sample = tuple[bytes, bytes, bool, bool]
"""The two copies, and whether slot a and slot b are there."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Crashed selectors, all different."""
    told = story.tell(tmp_path_factory.mktemp("story"))
    medium, dice, places = Medium(told.base, told.trace.steps), random.Random(11), told.places()
    found: set[Sample] = set()
    for count in states.crash_points(told.trace.steps):
        medium.advance(count)
        if not any(medium.write(one).through == "select" for one in medium.loose):
            continue
        for landed in states.after(medium, dice, 0):
            disk = Crashed(medium, landed)
            grub = reader.Selector.of(disk.read, places)
            one, two = (_copy(disk, places["select"], name) for name in selector.COPIES)
            found.add((one, two, grub.there["a"], grub.there["b"]))
    return dice.sample(sorted(found), SAMPLES)


def _copy(disk: Crashed, start: int, name: str) -> bytes:
    file = reader.find(disk.read, start, name)
    assert file is not None
    return b"".join(disk.read(at, 512) for at in file.pieces)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grub")


@pytest.mark.parametrize("number", range(SAMPLES))
def test_grub_decides_as_the_judge_says(number: int, samples: list[Sample], folder: Path, tmp_path: Path) -> None:
    machine: Machine = make("bios", folder, tmp_path)
    one, two, there_a, there_b = samples[number]
    machine.put(one, two)
    for slot, there in (("a", there_a), ("b", there_b)):
        if not there:
            machine.empty(f"boot-{slot}")
    content = machine.disk.read_bytes()
    places = {part.name: part.offset for part in machine.layout.table.partitions}
    judge = reader.Selector.of(lambda at, size: content[at : at + size], places)
    expected = [judge.boot() for _ in range(BOOTS)]
    assert [(line.slot, line.trial) for line in machine.boots(BOOTS)] == expected
