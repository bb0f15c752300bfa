"""Rescue, from asking for it to what it is for: the example's, on one device that is reset in both ways."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from ovenbird_device.format.selector import State
from tests.tool import OUTPUT, RECIPES, Tool
from tests.vm.guest import Guest, guest
from tests.vm.trial import Image, Patient

pytestmark = [pytest.mark.vm, pytest.mark.endurance]
PASSWORD = "tobak-mirun-depol"
RESCUE = OUTPUT / "rescue"
MARK = "left by a test\n"


@pytest.fixture(scope="module")
def device(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device, at its first boot."""
    tool.build(RECIPES / "rescue", "--out", RESCUE)
    with guest(RESCUE, tmp_path_factory.mktemp("device"), password=PASSWORD) as running:
        yield running


@pytest.fixture
def patient(device: Guest) -> Patient:
    """The same, for what is done to it while its power is off."""
    return Patient(Image(RESCUE), device.disk)


def test_rescue_when_it_is_asked_for(device: Guest, patient: Patient) -> None:
    assert device.overview()["slot"] == "a"
    assert device.ask("POST", "/slots/rescue").status == 401
    assert device.ask("POST", "/rescue/reset?confirm=erase+data", PASSWORD).status == 409
    assert device.ask("POST", "/slots/rescue", PASSWORD).status == 202
    overview = device.wait_for_boot()
    assert overview["slot"] == "rescue"
    assert device.health()["system"]["state"] == "rescue"
    slots = device.ask("GET", "/slots").json()
    assert (slots["running"], slots["active"], slots["trial"]) == ("", "a", "")
    assert device.ask("POST", "/rescue/reset?confirm=yes", PASSWORD).status == 400
    done = device.ask("POST", "/rescue/reset?confirm=reset+etc", PASSWORD)
    assert done.status == 200, done
    device.machine.power_cut()
    assert "etc" not in patient.debugfs("ls -p /slots/a")
    assert "password.json" in patient.debugfs("ls -p /ovenbird")
    assert device.power_on()["slot"] == "a"


def test_both_slots_failing_end_in_rescue_and_data_can_be_erased(
    device: Guest, patient: Patient, tmp_path: Path
) -> None:
    """The password is the device's own, kept on data, as nobody gives one from outside at the second start."""
    device.power_off()
    (tmp_path / "mark").write_text(MARK)
    patient.debugfs(f"write {tmp_path / 'mark'} /mark")
    patient.state = State(attempts=0)
    assert device.power_on()["slot"] == "rescue"
    done = device.ask("POST", "/rescue/reset?confirm=erase+data", PASSWORD)
    assert done.status == 200, done
    device.machine.power_cut()
    listed = patient.debugfs("ls -p /")
    assert "mark" not in listed
    assert "password.json" in patient.debugfs("ls -p /ovenbird")
