"""Bundles on a stick: the real steward installs them on a disk in a file; which disks are sticks, a sysfs tells."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.lab import Lab, Maker

from ovenbird_device.format import settings
from ovenbird_device.format.selector import Slot
from ovenbird_device.update import usb


def places(device: Lab) -> usb.Places:
    run = device.folder / "run/ovenbird"
    return usb.Places(device.state, run / "boot", run / "steward.sock", device.folder / "update.json")


def stick(folder: Path, *bundles: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for bundle in bundles:
        shutil.copy(bundle, folder)
    return folder


def test_a_bundle_is_installed_once(device: Lab, maker: Maker, tmp_path: Path) -> None:
    found = stick(tmp_path / "stick", maker.bundle("1.1.0"))
    assert asyncio.run(usb.offer(found, places(device)))
    assert device.selector().trial is Slot.B
    assert device.ordered_restart()
    device.restart()
    device.give_up("it was no good")
    device.restart()
    assert not asyncio.run(usb.offer(found, places(device)))
    assert device.selector().trial is None


def test_a_strangers_is_refused_and_the_next_one_taken(device: Lab, maker: Maker, tmp_path: Path) -> None:
    found = stick(tmp_path / "stick", maker.bundle("1.2.0", stranger=True, name="0.swu"), maker.bundle("1.2.0"))
    (found / "00.swu").write_bytes(b"no bundle at all")
    assert asyncio.run(usb.offer(found, places(device)))
    assert device.selector().trial is Slot.B
    assert len(usb.noted(places(device))) == 1


def test_a_trial_that_is_armed_is_left_alone(device: Lab, maker: Maker, tmp_path: Path) -> None:
    assert asyncio.run(usb.offer(stick(tmp_path / "one", maker.bundle("1.1.0")), places(device)))
    assert not asyncio.run(usb.offer(stick(tmp_path / "two", maker.bundle("1.3.0")), places(device)))


def test_a_torn_bundle_is_refused(device: Lab, maker: Maker, tmp_path: Path) -> None:
    whole = maker.bundle("1.4.0").read_bytes()
    found = stick(tmp_path / "stick")
    (found / "torn.swu").write_bytes(whole[: len(whole) // 2])
    assert not asyncio.run(usb.offer(found, places(device)))
    assert device.selector().trial is None


@pytest.mark.parametrize(("allowed", "trial", "expected"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_only_if_the_image_allows_it_and_never_on_trial(
    allowed: bool, trial: int, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / "update.json").write_bytes(settings.dump(settings.UpdateSettings(usb=allowed)))
    (tmp_path / "boot").write_text(f"slot=a\ntrial={trial}\n")
    assert usb.allowed(usb.Places(note=tmp_path / "boot", settings=tmp_path / "update.json")) is expected
    assert not usb.allowed(usb.Places(note=tmp_path / "none", settings=tmp_path / "update.json"))


def test_what_a_stick_is(tmp_path: Path) -> None:
    system = tmp_path / "sys"
    (system / "block").mkdir(parents=True)
    for name, bus, parts in (
        ("sda", "pci0/ata1", ["sda1"]),
        ("sdb", "pci0/usb1/1-1", ["sdb1", "sdb2"]),
        ("sdc", "pci0/usb1/1-2", []),
        ("sdd", "pci0/usb1/1-3", ["sdd4"]),
        ("sde", "pci0/usb1/1-4", []),
    ):
        real = system / "devices" / bus / "block" / name
        for part in parts:
            (real / part).mkdir(parents=True)
            (real / part / "partition").write_text(part[-1])
        real.mkdir(parents=True, exist_ok=True)
        (real / "size").write_text("0" if name == "sde" else "1000")
        (system / "block" / name).symlink_to(real)
    found = usb.sticks(system, Path("/dev"), boot="sdd4")
    assert found == [Path("/dev/sdb1"), Path("/dev/sdb2"), Path("/dev/sdc")]
