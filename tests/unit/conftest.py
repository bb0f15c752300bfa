"""Devices in files: a running one for what is sent to it, and bare disks with a slot to fill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab import Lab, Maker, lab
from tests.updates import Device, System, system
from tests.updates import device as bare_device

from ovenbird.files import copy_sparse
from ovenbird_device.format.selector import Slot


@pytest.fixture
def device(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A fresh device that runs 1.0.0 from slot a."""
    with lab(tmp_path / "device", maker) as running:
        yield running


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, System]:
    """Three versions, by version."""
    folder = tmp_path_factory.mktemp("systems")
    return {version: system(folder, version) for version in ("1.0", "2.0", "2.1")}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, systems: dict[str, System]) -> Device:
    """A disk with 1.0 in slot a. Change nothing in it."""
    return bare_device(tmp_path_factory.mktemp("device"), systems["1.0"])


@pytest.fixture
def fresh(template: Device, tmp_path: Path) -> Device:
    """A disk of the test's own; the systems are made once."""
    disk = tmp_path / "disk.img"
    copy_sparse(template.disk, disk)
    return replace(template, disk=disk, folder=tmp_path / "state", systems={Slot.A: template.systems[Slot.A]})
