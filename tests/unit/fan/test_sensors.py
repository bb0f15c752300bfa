"""Which sensors count, and what one that cannot be read means."""

from __future__ import annotations

from tests.unit.fan.conftest import System

from ovenbird_device.facts import hardware
from ovenbird_device.fan.sensors import Sensors, find

LM75 = "class/hwmon/hwmon1/temp1_input"


def named(system: System, *names: str) -> dict[str, float | None]:
    return dict(Sensors(names, system.sys).read().each)


def machine(system: System) -> None:
    system.zone(0, "cpu-thermal", 48.3)
    system.chip(0, "nvme", temp1_input="61000", temp1_label="Composite", temp2_input="38000", temp2_label="Sensor 1")
    system.chip(1, "lm75", temp1_input="31500")


def test_names_are_those_of_the_page(system: System) -> None:
    machine(system)
    assert {one.name for one in find(system.sys)} == {one.name for one in hardware.temperatures(system.sys)}


def test_the_processors_count_unless_others_are_named(system: System) -> None:
    machine(system)
    assert named(system) == {"cpu-thermal": 48.3}
    assert named(system, "nvme*") == {"nvme Composite": 61.0, "nvme Sensor 1": 38.0}
    assert Sensors(("nvme*", "lm75"), system.sys).read().hottest == 61.0


def test_without_a_processors_sensor_all_that_can_be_read_count(system: System) -> None:
    system.chip(0, "lm75", temp1_input="31500")
    system.chip(1, "iwlwifi_1", temp1_input="")
    assert named(system) == {"lm75": 31.5}


def test_one_that_cannot_be_read_makes_the_whole_unreadable_and_is_named(system: System) -> None:
    machine(system)
    sensors = Sensors(("cpu-thermal", "lm75"), system.sys)
    assert sensors.read().hottest == 48.3
    for wrong in ("", "nonsense", "-274000", "999000"):
        (system.sys / LM75).write_text(wrong)
        reading = sensors.read()
        assert (reading.hottest, reading.trouble) == (None, "lm75 cannot be read")
    system.heat(LM75, 20)
    assert sensors.read().hottest == 48.3


def test_one_that_is_named_and_not_there_is_unreadable_until_it_comes(system: System) -> None:
    sensors = Sensors(("lm75",), system.sys)
    assert sensors.read().trouble == "lm75 cannot be read"
    system.zone(0, "cpu-thermal", 48.3)
    assert sensors.read().hottest is None
    system.chip(1, "lm75", temp1_input="31500")
    assert sensors.read().hottest == 31.5


def test_none_at_all_is_unreadable(system: System) -> None:
    reading = Sensors((), system.sys).read()
    assert (reading.hottest, reading.trouble) == (None, "there is no temperature to be read")


def test_a_driver_that_is_loaded_anew_is_found_under_its_name(system: System) -> None:
    machine(system)
    sensors = Sensors(("lm75",), system.sys)
    assert sensors.read().hottest == 31.5
    (system.sys / LM75).unlink()
    assert sensors.read().hottest is None
    system.chip(7, "lm75", temp1_input="33000")
    assert sensors.read().hottest == 33.0


def test_the_hottest_of_one_name_counts(system: System) -> None:
    system.chip(0, "amc6821", temp1_input="30000", temp2_input="35000")
    assert named(system, "amc6821") == {"amc6821": 35.0}
    (system.sys / "class/hwmon/hwmon0/temp1_input").write_text("")
    assert named(system, "amc6821") == {"amc6821": None}
