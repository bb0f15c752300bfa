"""Every crash point of updates: whatever of the writes has landed, GRUB finds a whole system that it may boot.

Killing a virtual machine does not lose what its host has cached, so it hides a missing flush. Here the writes and
flushes of whole updates are recorded behind the device's own code and replayed in part, thousands of times.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest

from ovenbird_device.format.selector import Slot
from ovenbird_device.slots.manage import Slots
from ovenbird_device.update.installer import Installer
from ovenbird_device.update.policy import Wishes
from tests.crash import reader, states, story
from tests.crash.story import Boot, Story
from tests.crash.trace import Crashed, Flush, Landed, Medium, Step
from tests.updates import Device, terms

BOOTS = 14
"""How many boots in a row are looked at after a cut: a system that never reports, until nothing changes any more."""
ROUNDS = 4
LEAST = 10_000


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The recorded life of a device."""
    return story.tell(tmp_path_factory.mktemp("story"))


class Judge:
    """Says what is wrong with a crashed disk; remembers digests, for most disks are alike in most places."""

    def __init__(self, told: Story) -> None:
        self._told = told
        self._places = told.places()
        self._contents: dict[object, str] = {}
        self.copies = tuple(
            found.pieces[0]
            for name in ("grub/grubenv", "grub/grubenv2")
            if (found := reader.find(lambda at, size: told.base[at : at + size], self._places["select"], name))
        )
        self._sums = {
            version: tuple(
                (part, file.stat().st_size, hashlib.sha256(file.read_bytes()).digest())
                for part, file in (("boot", one.boot), ("root", one.root))
            )
            for version, one in told.systems.items()
        }

    def boots(self, disk: Crashed, spoilt: tuple[int, ...] = ()) -> tuple[list[Boot], bool]:
        """What is booted after the cut, time after time, by slot and content; and whether a copy could be read.

        `spoilt` are copies whose sector was just being written and cannot be read now.
        """
        grub = reader.Selector.of(disk.read, self._places)
        for copy in spoilt:
            grub.copies[copy] = None
        readable = any(copy is not None for copy in grub.copies)
        chosen = [grub.boot() for _ in range(BOOTS)]
        versions = {slot: self._version(disk, slot) for slot, _ in set(chosen)}
        return [(slot, versions[slot], trial) for slot, trial in chosen], readable

    def in_flight(self, medium: Medium) -> list[tuple[int, ...]]:
        """Which copies of the selector's state may have become unreadable: those not flushed, each alone and all."""
        loose = {medium.write(one).offset for one in medium.loose}
        copies = tuple(number for number, offset in enumerate(self.copies) if offset in loose)
        return [*((one,) for one in copies), *([copies] if len(copies) > 1 else [])]

    def _version(self, disk: Crashed, slot: str) -> str:
        """Which system a slot holds, byte by byte; "?" for anything that is not one whole system."""
        if slot == "none":
            return "?"
        layout = self._told.device.layout
        spans = [(one.offset, one.size) for one in (layout.partition(f"{part}-{slot}") for part in ("boot", "root"))]
        key = (slot, *(disk.key(*span) for span in spans))
        if key not in self._contents:
            self._contents[key] = next((one for one in self._sums if self._holds(disk, spans, one)), "?")
        return self._contents[key]

    def _holds(self, disk: Crashed, spans: list[tuple[int, int]], version: str) -> bool:
        return all(
            hashlib.sha256(disk.read(offset, size)).digest() == digest
            for (offset, _), (_, size, digest) in zip(spans, self._sums[version], strict=True)
        )


def complaint(told: Story, phase: str, boots: list[Boot], *, readable: bool) -> str | None:
    """What is bad about these boots; None if nothing is.

    If neither copy can be read (two sectors spoilt by one power cut), any whole system will do, but no trial.
    """
    for slot, version, trial in boots:
        if version == "?":
            return f"slot {slot} is booted and holds no whole system"
        if (trial or readable) and (slot, version, trial) not in told.allowed[phase]:
            return f"{version} in slot {slot} (trial: {trial}) must not be booted any more, or not yet"
    trials = [trial for _, _, trial in boots]
    if trials != sorted(trials, reverse=True):
        return "a trial comes back after it was given up"
    return "a trial goes on for ever" if all(trials) else None


def test_no_power_cut_leaves_a_device_without_a_whole_system(told: Story, capsys: pytest.CaptureFixture[str]) -> None:
    steps, judge, dice = told.trace.steps, Judge(told), random.Random(20240229)
    medium = Medium(told.base, steps)
    looked: Counter[str] = Counter()
    seen: set[int] = set()
    bad: list[str] = []

    def look(count: int, landed: Landed, spoilt: tuple[int, ...] = ()) -> None:
        phase = told.trace.phase_of(count)
        mark = hash((phase, medium.settled, tuple(landed.items()), spoilt))
        if mark in seen:
            return
        seen.add(mark)
        boots, readable = judge.boots(Crashed(medium, landed), spoilt)
        looked["no copy readable" if not readable else "trial" if boots[0][2] else "committed"] += 1
        if problem := complaint(told, phase, boots, readable=readable):
            bad.append(f"after step {count} ({phase}): {problem}")

    for count in states.crash_points(steps):
        medium.advance(count)
        for landed in states.after(medium, dice, ROUNDS):
            look(count, landed)
        for spoilt in judge.in_flight(medium):
            look(count, dict.fromkeys(medium.loose), spoilt)
            look(count, {}, spoilt)
    total = sum(looked.values())
    with capsys.disabled():
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(looked.items()))
        print(f"\n{total} crashed disks of {len(steps)} steps looked at ({kinds}): {len(bad)} bad")
    assert bad[:10] == []
    assert total >= LEAST


def test_the_judge_finds_a_missing_flush(told: Story) -> None:
    """The proof proves something: if the slot's partitions are never flushed, an armed trial may hold anything."""
    phases = {name: at for at, name in told.trace.phases}
    steps: list[Step] = [
        step
        for step in told.trace.steps[: phases["trial of 2.0"]]
        if not (isinstance(step, Flush) and step.through != "select")
    ]
    judge, medium = Judge(told), Medium(told.base, steps)
    medium.advance(len(steps))
    found = {
        boot[1]
        for landed in states.after(medium, random.Random(1), 9)
        for boot in judge.boots(Crashed(medium, landed))[0]
    }
    assert "?" in found


def test_a_device_goes_on_after_any_cut(told: Story, tmp_path: Path) -> None:
    """From a sample of crashed disks, the device that comes up can commit what runs and take the next update."""
    steps, dice = told.trace.steps, random.Random(7)
    points = [point for point in states.crash_points(steps) if told.trace.phase_of(point) != "a runs"]
    path = tmp_path / "disk.img"
    for count in dice.sample(points, 25):
        medium = Medium(told.base, steps)
        medium.advance(count)
        crashed = Crashed(medium, dice.choice(list(states.after(medium, dice, 1))))
        (slot, version, trial), *_ = Judge(told).boots(crashed)[0]
        crashed.save(path, told.device.layout.size)
        here = Device(
            path, told.device.layout, tmp_path / "state", {Slot(slot): told.systems[version]}, Slot(slot), trial
        )
        slots: Slots = here.slots()
        slots.commit()
        with told.systems["3.0"].bundle.open("rb") as bundle:
            done = Installer(slots, terms(), lambda _: None).install(bundle, Wishes(allow_downgrade=True, force=True))
        assert done.slot == Slot(slot).other
        assert here.holds(done.slot, told.systems["3.0"])
        assert slots.state().trial is done.slot
