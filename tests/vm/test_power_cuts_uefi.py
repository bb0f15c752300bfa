"""12 power cuts of a device that starts by UEFI."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from ovenbird.vm.command import Boot
from tests.vm.power_cuts import Survivor, survivor
from tests.vm.updating import Images

pytestmark = [pytest.mark.vm, pytest.mark.endurance]
CUTS = 12


@pytest.fixture(scope="module")
def updated(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Generator[Survivor]:
    """The device, after it was updated."""
    with survivor(images, tmp_path_factory.mktemp("device"), Boot.UEFI, CUTS, seed=2) as found:
        yield found


@pytest.mark.parametrize("number", range(CUTS))
def test_it_always_comes_back(updated: Survivor, number: int) -> None:
    updated.come_back(number)
