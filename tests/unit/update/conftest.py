"""A device and some systems to install, made once; each test gets its own copy of the disk."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.updates import Device, System, device, system

from ovenbird_device.format.selector import Slot


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, System]:
    """Three versions, by version."""
    folder = tmp_path_factory.mktemp("systems")
    return {version: system(folder, version) for version in ("1.0", "2.0", "2.1")}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, systems: dict[str, System]) -> Device:
    """A device with 1.0 in slot a. Change nothing in it."""
    return device(tmp_path_factory.mktemp("device"), systems["1.0"])


@pytest.fixture
def fresh(template: Device, tmp_path: Path) -> Device:
    """A device of the test's own."""
    disk = tmp_path / "disk.img"
    subprocess.run(["cp", "--sparse=always", str(template.disk), str(disk)], check=True)
    return replace(template, disk=disk, folder=tmp_path / "state", systems={Slot.A: template.systems[Slot.A]})
