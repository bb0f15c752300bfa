"""Trials of systems that cannot even start: kernel, initrd, root, init. GRUB's count and the initrd end them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird_device.format.selector import Slot, State
from tests.vm.sabotages import garbage_kernel, suffer
from tests.vm.trial import PATIENCE, UP, Patient

pytestmark = [pytest.mark.vm, pytest.mark.endurance]
NAMES = (
    "kernel-panics", "kernel-hangs", "garbage-kernel", "truncated-initrd", "corrupt-root", "no-init", "broken-etc",
    "no-judge", "no-timers-either",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_in_the_old_slot(name: str, patient: Patient, tmp_path: Path) -> None:
    suffer(name, patient, tmp_path)


def test_a_good_one_is_committed_and_stays(patient: Patient, tmp_path: Path) -> None:
    patient.prepare(tmp_path, tries=3)
    with patient.boot() as machine:
        machine.wait_for(r"ovenbird-health: slot b is committed", PATIENCE)
        machine.shut_down(120)
        assert patient.state == State(active=Slot.B, good=frozenset(Slot))
        machine.power_on()
        machine.wait_for(UP.format("b"), PATIENCE)
    assert patient.trials()[0]["outcome"] == "committed"


def test_a_committed_one_that_fails_later_falls_back(patient: Patient, tmp_path: Path) -> None:
    garbage_kernel(patient, tmp_path)
    patient.state = State(active=Slot.B, attempts=2, good=frozenset(Slot))
    patient.until_up("a")
    assert patient.console.count("b does not start") == 2
    assert patient.state == State(active=Slot.A, failed=frozenset({Slot.B}))
