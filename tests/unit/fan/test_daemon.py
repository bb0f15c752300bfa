"""The daemon as a process: on a kernel's files, with systemd's socket, told by real signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.fan.conftest import System

from ovenbird_device.fan import state

SETTINGS = (
    'curve = ["40:0", "50:40", "70:100"]\ninterval = 0.2\nwindow = 0.2\nkick = 0\nminimum = 0\nsensors = ["lm75"]\n'
)
LM75 = "class/hwmon/hwmon1/temp1_input"


@dataclass
class Running:
    """A daemon, and what it looks at."""

    system: System
    notices: socket.socket
    process: subprocess.Popen[str] | None = None
    ended: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    @property
    def folder(self) -> Path:
        return self.system.folder

    @property
    def settings(self) -> Path:
        return self.folder / "fan.toml"

    def command(self, *words: str) -> list[str]:
        places = ["--runtime", self.folder / "run", "--system", self.system.sys, "--devices", self.folder / "dev"]
        # As systemd starts it: open to all signals, also where the tests themselves are not.
        program = ["env", "--default-signal", sys.executable, "-P", "-s", "-m", "ovenbird_device.fan"]
        return [*program, *words, *map(str, places), str(self.settings)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)

    def start(self) -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        self.process = subprocess.Popen(
            self.command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.ended.append(self.process)
        while b"READY=1" not in self.notices.recv(4096):
            pass

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def end(self, number: int) -> str:
        """End it; returns all that it printed."""
        assert self.process
        self.signal(number)
        out, _ = self.process.communicate(timeout=20)
        return out

    @property
    def pwm(self) -> int:
        """What the chip was told; -1 in the moment in which it is being written."""
        return int((self.system.sys / "class/hwmon/hwmon0/pwm1").read_text() or "-1")

    def facts(self) -> state.FanFacts:
        facts = state.read(self.folder / "run" / state.FOLDER)
        assert facts
        return facts

    def wait(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end, (self.pwm, self.facts())
            time.sleep(0.02)


@pytest.fixture
def fan(system: System) -> Iterator[Running]:
    """A machine with a chip for the fan and a thermometer at 30 °C; nothing runs yet."""
    system.chip(0, "amc6821", pwm1="0", pwm1_enable="1", fan1_input="900")
    system.chip(1, "lm75", temp1_input="30000")
    (system.folder / "fan.toml").write_text(SETTINGS)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(system.folder / "notify"))
        notices.settimeout(20)
        running = Running(system, notices)
        yield running
        for process in running.ended:
            if process.poll() is None:
                process.kill()
            process.communicate()


def test_the_speed_follows_the_temperature_and_is_told(fan: Running) -> None:
    fan.start()
    assert fan.pwm == 0
    fan.system.heat(LM75, 50)
    fan.wait(lambda: fan.pwm == 102)
    fan.wait(lambda: fan.facts().speed == 40)
    facts = fan.facts()
    assert (facts.state, facts.kind, facts.output, facts.rpm) == ("regulating", "hwmon", "amc6821/pwm1", 900)
    assert (facts.celsius, facts.level, facts.problem) == (50, 50, "")
    assert facts.sensors == [state.FanSensor(name="lm75", celsius=50)]
    assert facts.curve == [(40, 0), (50, 40), (70, 100)]
    assert (fan.folder / "run" / state.FOLDER / state.FILE).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_full_speed(fan: Running, number: int) -> None:
    fan.start()
    assert fan.pwm == 0
    assert "ovenbird-fan: hwmon amc6821/pwm1" in fan.end(number)
    assert fan.process
    assert fan.process.returncode == 0
    assert fan.pwm == 255
    assert (fan.facts().state, fan.facts().speed) == ("stopped", 100)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT])
def test_any_other_end_does_so_by_what_the_unit_runs_after_it(fan: Running, number: int) -> None:
    fan.start()
    fan.end(number)
    assert fan.pwm == 0
    done = fan.run("--full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert fan.pwm == 255
    assert fan.facts().state == "stopped"


def test_full_speed_needs_no_settings(fan: Running) -> None:
    fan.settings.write_text("nonsense")
    assert fan.run("--full").returncode == 0
    assert fan.pwm == 255


def test_a_temperature_that_cannot_be_read_means_full_speed_and_is_said(fan: Running) -> None:
    fan.start()
    fan.system.heat(LM75, None)
    fan.wait(lambda: fan.pwm == 255)
    fan.wait(lambda: fan.facts().state == "failsafe")
    assert fan.facts().problem == "lm75 cannot be read"
    fan.system.heat(LM75, 30)
    fan.wait(lambda: fan.pwm == 0)
    fan.wait(lambda: fan.facts().state == "regulating")
    out = fan.end(signal.SIGTERM)
    assert out.count("lm75 cannot be read") == 1
    assert "all is well again" in out


@pytest.mark.parametrize("told", [True, False], ids=["SIGHUP", "by itself"])
def test_new_settings_are_in_force_at_once(fan: Running, told: bool) -> None:
    fan.start()
    fan.system.heat(LM75, 50)
    fan.wait(lambda: fan.pwm == 102)
    new = fan.folder / "new.toml"
    new.write_text(SETTINGS.replace("50:40", "50:80"))
    new.replace(fan.settings)
    if told:
        fan.signal(signal.SIGHUP)
    fan.wait(lambda: fan.pwm == 204)


def test_wrong_settings_leave_the_former_ones_in_force_and_are_told(fan: Running) -> None:
    fan.start()
    fan.settings.write_text(SETTINGS.replace("50:40", "30:40"))
    fan.wait(lambda: fan.facts().problem)
    assert 'fan.toml:1: `curve`: "30:40" comes after "40:0", so it must be hotter' in fan.facts().problem
    assert fan.facts().state == "regulating"
    fan.system.heat(LM75, 50)
    fan.wait(lambda: fan.pwm == 102)
    fan.settings.write_text(SETTINGS)
    fan.wait(lambda: not fan.facts().problem)


def test_without_any_usable_settings_the_fan_runs_at_full_speed(fan: Running) -> None:
    fan.settings.write_text("curve = 5\n")
    fan.start()
    assert fan.pwm == 255
    assert fan.facts().state == "failsafe"
    fan.settings.write_text(SETTINGS)
    fan.wait(lambda: fan.pwm == 0)


def test_an_output_that_is_not_there_yet_is_waited_for(fan: Running) -> None:
    chip = fan.system.sys / "class/hwmon/hwmon0"
    hidden = chip.rename(fan.folder / "hidden")
    fan.start()
    assert fan.facts().state == "failsafe"
    assert "no hwmon chip has a fan's output" in fan.facts().problem
    hidden.rename(chip)
    fan.wait(lambda: fan.facts().state == "regulating")


def test_an_output_that_fails_is_told_and_taken_again(fan: Running) -> None:
    fan.start()
    file = fan.system.sys / "class/hwmon/hwmon0/pwm1"
    file.unlink()
    file.mkdir()
    fan.wait(lambda: "amc6821/pwm1 cannot be driven: Is a directory" in fan.facts().problem)
    file.rmdir()
    file.write_text("1\n")
    fan.wait(lambda: fan.facts().state == "regulating")
    assert fan.pwm == 0


def test_a_second_daemon_is_refused(fan: Running) -> None:
    fan.start()
    done = fan.run()
    assert (done.returncode, done.stderr) == (1, "ovenbird-fan: another one runs already\n")
    assert fan.facts().state == "regulating"


def test_a_daemon_that_is_silent_is_called_so(fan: Running) -> None:
    fan.start()
    facts = fan.facts()
    fan.end(signal.SIGKILL)
    from msgspec.structs import replace

    state.publish(fan.folder / "run" / state.FOLDER, replace(facts, updated_s=facts.updated_s - 60))
    assert fan.facts().state == "silent"


# --- what people run --------------------------------------------------------------------------------------------------


def test_check_tells_what_would_be_done_and_touches_nothing(fan: Running) -> None:
    done = fan.run("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "output    hwmon amc6821/pwm1",
        "sensor    lm75: 30.0 °C",
        "curve     40 °C 0 %, 50 °C 40 %, 70 °C 100 %; slower only 3 °C below, after 0.2 s",
    ]
    assert fan.pwm == 0
    assert not (fan.folder / "run").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("lm75", "lm76"), "ovenbird-fan: lm76 cannot be read, so the fan runs at full speed\n"),
        (
            ("kick", "hwmon = 'x/pwm1'\noutput = 'hwmon'\nkick"),
            "there is no hwmon output x/pwm1; there is amc6821/pwm1\n",
        ),
        (("kick", "gpio = '18'\noutput = 'gpio'\nkick"), "ovenbird-fan: there is no GPIO chip\n"),
        (("kick = 0", "kick = 99"), "fan.toml:4: `kick` is 99, but must be from 0 to 10 seconds\n"),
    ],
)
def test_check_says_what_would_not_work_in_one_line(fan: Running, change: tuple[str, str], line: str) -> None:
    fan.settings.write_text(SETTINGS.replace(*change))
    done = fan.run("--check")
    assert done.returncode == 1
    assert done.stderr.endswith(line)
    assert done.stderr.count("\n") == 1


def test_the_test_runs_through_the_speeds_and_goes_back(fan: Running) -> None:
    fan.start()
    done = fan.run("--test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{speed:3} %, 900 turns a minute" for speed in (100, 80, 60, 40, 20, 0)]
    fan.wait(lambda: fan.facts().state == "regulating")


def test_the_test_needs_a_daemon_that_is_well(fan: Running) -> None:
    done = fan.run("--test")
    assert done.returncode == 1
    assert "systemctl start ovenbird-fan.service" in done.stderr
    fan.system.heat(LM75, None)
    fan.start()
    done = fan.run("--test")
    assert (done.returncode, done.stderr) == (1, "ovenbird-fan: nothing to test: lm75 cannot be read\n")


def test_it_loads_little() -> None:
    code = "import ovenbird_device.fan.__main__, sys; print(*(n for n, m in sys.modules.items() if m is not None))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert "msgspec" in found
    assert found.isdisjoint({"asyncio", "inspect", "typing_extensions", "ssl", "subprocess", "ctypes"})
