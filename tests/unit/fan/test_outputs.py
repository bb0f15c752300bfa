"""Outputs on a kernel's files: what is written, what is left alone, and which one is chosen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.fan.conftest import System

from ovenbird_device.fan.law import Point
from ovenbird_device.fan.outputs import choose, gpio, hwmon, kernel, line, pwm
from ovenbird_device.fan.outputs.output import OutputError
from ovenbird_device.fan.settings import Choice, Settings


def governed(system: System, **zone: str) -> None:
    """A Raspberry Pi 5's fan: four steps, each with its trip point."""
    system.chip(2, "pwmfan", pwm1="75", pwm1_enable="1", fan1_input="2900")
    device = system.write("class/thermal/cooling_device0", type="pwm-fan", cur_state="1", max_state="4")
    trips = {f"trip_point_{number}_temp": str(heat) for number, heat in enumerate((110000, 50000, 60000, 67500, 75000))}
    bound = {f"cdev{number}_trip_point": str(number + 1) for number in range(4)}
    place = system.zone(0, "cpu-thermal", 51, **{"mode": "enabled", "policy": "step_wise", **trips, **bound, **zone})
    for number in range(4):
        if not (place / f"cdev{number}").exists():
            (place / f"cdev{number}").symlink_to(device)


def test_a_fan_that_the_kernel_sees_to_is_left_alone_and_reported(system: System) -> None:
    governed(system)
    found = choose.look(Settings(), system.places)
    output = found.open({})
    assert (output.kind, output.name, output.controlled) == ("kernel", "pwm-fan of cpu-thermal", False)
    assert output.levels == (Point(50, 25), Point(60, 50), Point(67.5, 75), Point(75, 100))
    before = snapshot(system.sys)
    output.set(100)
    output.leave()
    output.close()
    assert snapshot(system.sys) == before
    assert (output.speed(), output.rpm()) == (25, 2900)


@pytest.mark.parametrize("zone", [{"mode": "disabled"}, {"policy": "user_space"}])
def test_a_governor_that_is_off_sees_to_nothing(system: System, zone: dict[str, str]) -> None:
    governed(system, **zone)
    assert kernel.find(system.sys) is None
    assert choose.look(Settings(), system.places).name == "pwmfan/pwm1"


def test_a_cooler_that_is_no_fan_is_none(system: System) -> None:
    governed(system)
    system.write("class/thermal/cooling_device0", type="cpufreq-cpu0")
    assert kernel.find(system.sys) is None


def test_hwmon_is_written_each_time_and_left_at_full_speed(system: System) -> None:
    chip = system.chip(0, "amc6821", pwm1="10", pwm1_enable="0", fan1_input="1200")
    output = choose.look(Settings(), system.places).open({})
    assert (output.kind, output.name, output.speed(), output.rpm()) == ("hwmon", "amc6821/pwm1", 100, 1200)
    output.set(40)
    assert ((chip / "pwm1").read_text(), (chip / "pwm1_enable").read_text()) == ("102\n", "1\n")
    assert output.speed() == 40
    (chip / "pwm1").write_text("0\n")  # by somebody's hand
    output.set(40)
    assert output.speed() == 40
    output.leave()
    assert (chip / "pwm1").read_text() == "255\n"


@given(st.integers(0, 100))
def test_every_speed_survives_the_chips_255_steps(percent: int) -> None:
    assert round(round(percent * hwmon.MOST / 100) * 100 / hwmon.MOST) == percent


def test_a_chip_that_regulates_by_itself_is_only_reported_unless_it_is_named(system: System) -> None:
    chip = system.chip(0, "nct6775", pwm1="128", pwm1_enable="5", pwm2="99", pwm2_enable="5")
    output = choose.look(Settings(), system.places).open({})
    assert (output.kind, output.controlled, output.speed()) == ("chip", False, 50)
    output.set(0)
    output.leave()
    assert ((chip / "pwm1").read_text(), (chip / "pwm1_enable").read_text()) == ("128\n", "5\n")
    ours = choose.look(Settings(hwmon="nct6775/pwm2"), system.places).open({})
    ours.set(100)
    assert ((chip / "pwm2").read_text(), (chip / "pwm2_enable").read_text()) == ("255\n", "1\n")


def test_a_hwmon_output_that_is_not_there_is_named_with_those_that_are(system: System) -> None:
    system.chip(0, "amc6821", pwm1="10", pwm10="1")
    with pytest.raises(OutputError, match=r"^there is no hwmon output amc6821/pwm3; there is amc6821/pwm1, amc6821/pw"):
        choose.look(Settings(output=Choice.HWMON, hwmon="amc6821/pwm3"), system.places)


def test_a_pwm_channel(system: System) -> None:
    system.write("class/pwm/pwmchip0", npwm="2", export="")
    channel = system.write("class/pwm/pwmchip0/pwm1", period="0", duty_cycle="0", enable="0")
    output = choose.look(Settings(pwm="pwmchip0/1"), system.places).open({})
    output.set(25)
    assert [(channel / name).read_text() for name in ("period", "duty_cycle", "enable")] == [
        "40000\n",
        "10000\n",
        "1\n",
    ]
    assert output.speed() == 25
    output.leave()
    assert output.speed() == 100
    upside = pwm.Pwm(pwm.find("pwmchip0/1", system.sys), 1000, inverted=True)
    upside.set(25)
    assert [(channel / name).read_text() for name in ("period", "duty_cycle")] == ["1000000\n", "750000\n"]
    assert upside.speed() == 25


def test_a_pwm_channel_is_exported(system: System) -> None:
    chip = system.write("class/pwm/pwmchip0", npwm="2", export="")
    with pytest.raises(OSError, match="pwm0"):  # these files are no kernel: they make no channel
        choose.look(Settings(pwm="pwmchip0/0"), system.places).open({})
    assert (chip / "export").read_text() == "0\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [("pwmchip0/2", "pwmchip0 has no channel 2: it has 2"), ("pwmchip9/0", "no PWM chip pwmchip9; there is pwmchip0")],
)
def test_a_pwm_channel_that_is_not_there(system: System, name: str, words: str) -> None:
    system.write("class/pwm/pwmchip0", npwm="2")
    with pytest.raises(OutputError, match=words):
        choose.look(Settings(output=Choice.PWM, pwm=name), system.places)


def test_the_order_is_that_of_who_needs_us_least(system: System) -> None:
    every = Settings(pwm="pwmchip0/0", gpio="18")
    with pytest.raises(OutputError) as raised:
        choose.look(every, system.places)
    assert str(raised.value).splitlines() == [
        "the kernel sees to no fan; no hwmon chip has a fan's output; "
        "there is no PWM chip pwmchip0; there is none; there is no GPIO chip"
    ]
    system.write("class/pwm/pwmchip0", npwm="1")
    assert choose.look(every, system.places).kind == "pwm"
    system.chip(0, "amc6821", pwm1="0")
    assert choose.look(every, system.places).kind == "hwmon"
    governed(system)
    assert choose.look(every, system.places).kind == "kernel"


def test_nothing_is_a_gpio_chip_that_is_none(system: System) -> None:
    (system.folder / "dev/gpiochip0").write_text("a file")
    with pytest.raises(OutputError, match=r"^there is no GPIO chip$"):
        line.find("18", system.folder / "dev")


# --- a line, switched -------------------------------------------------------------------------------------------------


class Lamp:
    """A line that notes when it was switched."""

    def __init__(self) -> None:
        self.noted: list[tuple[float, bool]] = []
        self.broken = self.closed = False

    @property
    def on(self) -> bool:
        return self.noted[-1][1]

    def set(self, on: bool) -> None:
        if self.broken:
            raise OSError(19, "No such device")
        self.noted.append((time.monotonic(), on))

    def close(self) -> None:
        self.closed = True


def test_a_line_is_on_at_any_speed_without_a_frequency() -> None:
    lamp = Lamp()
    output = gpio.Gpio(lamp, "gpiochip0/18", 0)
    for percent, on in ((30, True), (0, False), (100, True)):
        output.set(percent)
        assert (lamp.on, output.speed()) == (on, 100 if on else 0)


def test_a_line_is_pulsed_and_ends_switched_on() -> None:
    lamp = Lamp()
    output = gpio.Gpio(lamp, "gpiochip0/18", 200)
    output.set(30)
    wait_for(lambda: len(lamp.noted) > 40)
    assert [on for _, on in lamp.noted[:40]] == [True, False] * 20
    output.set(80)
    count = len(lamp.noted)
    wait_for(lambda: len(lamp.noted) > count + 40)
    output.leave()
    assert (lamp.on, output.speed()) == (True, 100)
    still = len(lamp.noted)
    time.sleep(0.05)
    assert len(lamp.noted) == still
    output.set(50)
    output.close()
    assert lamp.on
    assert lamp.closed


def test_a_line_that_breaks_while_it_is_pulsed_is_told_at_the_next_turn() -> None:
    lamp = Lamp()
    output = gpio.Gpio(lamp, "gpiochip0/18", 200)
    output.set(50)
    wait_for(lambda: lamp.noted)
    lamp.broken = True
    with pytest.raises(OSError, match="No such device"):
        wait_for(lambda: output.set(50))
    lamp.broken = False
    output.set(100)
    assert lamp.on


def wait_for(what: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator] # a function
        assert time.monotonic() < end
        time.sleep(0.005)


def snapshot(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
