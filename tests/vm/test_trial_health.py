"""Trials of systems that start, but are not well: the judge ends them at the deadline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.sabotages import suffer
from tests.vm.trial import Patient

pytestmark = [pytest.mark.vm, pytest.mark.endurance]
NAMES = ("agent-crashes", "failed-unit", "check-never-ends", "no-network", "data-full")


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_in_the_old_slot(name: str, patient: Patient, tmp_path: Path) -> None:
    suffer(name, patient, tmp_path)
