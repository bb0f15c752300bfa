"""13 power cuts of a device that starts by BIOS."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.vm.command import Boot
from tests.vm.guest import guest
from tests.vm.power_cuts import live_through
from tests.vm.updating import PASSWORD, Images

pytestmark = [pytest.mark.vm, pytest.mark.endurance]


def test_it_always_comes_back(images: Images, tmp_path: Path) -> None:
    with guest(images.out("1.0.0"), tmp_path, boot=Boot.BIOS, password=PASSWORD) as device:
        bundles = {version: images.bundle(version) for version in ("1.0.0", "1.1.0")}
        live_through(device, bundles, cuts=13, seed=1)
