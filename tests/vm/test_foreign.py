"""Systems that are not Debian, on real machines: one in the manner of Arch Linux that lives as any other does, and one
on musl without an agent, which the initrd's helper commits and rescue updates.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.tool import Tool
from tests.vm.foreign import PASSWORD, Versions, build_arch, build_musl
from tests.vm.guest import PATIENCE, Guest, guest
from tests.vm.trial import Image, Patient

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def musl(tool: Tool) -> Versions:
    return build_musl(tool, "1.0.0", "1.1.0")


def target(device: Guest) -> str:
    """Where the device is, with its password, for the tool."""
    return f"http://ovenbird:{PASSWORD}@127.0.0.1:{device.machine.port(80)}/"


def test_musl_without_an_agent(musl: Versions, tool: Tool, tmp_path: Path) -> None:
    """Boot, commit, ask for rescue, update from there, trial, commit: all on one disk, and no Python in the system."""
    with guest(musl.out("1.0.0"), tmp_path, password=PASSWORD, start=False) as device:
        patient = Patient(Image(musl.out("1.0.0")), device.disk)
        machine = device.machine
        machine.power_on()
        machine.wait_for(r"This system has no agent: no systemd, no Python, musl in place of glibc\.", PATIENCE)
        machine.wait_for("^musl system 1.0.0 is up", PATIENCE)
        assert patient.state.attempts == 5
        machine.wait_for("Slot a is committed: it stayed up, and its checks hold", PATIENCE)
        assert (patient.state.attempts, patient.state.active) == (6, "a")
        machine.type("echo 1 >>/data/kept; echo >/run/ovenbird/rescue\n")
        machine.wait_for("Rescue was asked for", PATIENCE)
        assert device.wait_for_boot()["slot"] == "rescue"
        begin = len(machine.console)
        done = tool.run("update", target(device), "--bundle", musl.bundle("1.1.0"), "--no-wait", within=PATIENCE)
        assert done.code == 0, done.err
        machine.wait_for("^musl system 1.1.0 is up", PATIENCE, since=begin)
        assert (patient.state.active, patient.state.trial) == ("a", "b")
        machine.wait_for("Slot b is committed", PATIENCE, since=begin)
        machine.type("cat /data/kept; cat /run/ovenbird/boot; sync\n")
        machine.wait_for("^trial=1", PATIENCE, since=begin)
        machine.power_cut()
        state = patient.state
        assert (state.active, state.trial, state.attempts) == ("b", None, 6)
        assert state.good == {"a", "b"}
        assert "1" in patient.debugfs("cat /kept")


@pytest.fixture(scope="module")
def archlike(tool: Tool) -> Versions:
    return build_arch(tool, "1.0.0", "1.1.0")


@pytest.fixture(scope="module")
def arch(archlike: Versions, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    with guest(archlike.out("1.0.0"), tmp_path_factory.mktemp("arch"), password=PASSWORD) as device:
        yield device


def test_arch_boots_updates_and_rolls_back(arch: Guest, archlike: Versions, tool: Tool) -> None:
    overview = arch.overview()
    assert (overview["slot"], overview["image"]["version"]) == ("a", "1.0.0")
    done = tool.run("update", target(arch), "--bundle", archlike.bundle("1.1.0"), within=3 * PATIENCE)
    assert done.code == 0, f"{done.out}{done.err}\n{arch.machine.console[-3000:]}"
    assert "version 1.1.0 is committed in slot b" in done.out
    overview = arch.wait_for_boot()
    assert (overview["slot"], overview["image"]["version"]) == ("b", "1.1.0")
    done = tool.run("slots", target(arch), "rollback", "--reboot", within=PATIENCE)
    assert done.code == 0, done.err
    overview = arch.wait_for_boot()
    assert (overview["slot"], overview["image"]["version"]) == ("a", "1.0.0")
