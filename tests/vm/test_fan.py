"""A fan's controller in a system of its own, on real drivers of the kernel: a thermometer (lm75), a fan's chip
(amc6821) and a chip with GPIO lines (adp5588). `i2c-stub` keeps their registers, which tests set and look at.

The tests share one machine, in this order.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.tool import OUTPUT, RECIPES, Tool
from tests.vm.guest import PATIENCE, Guest, guest, wait

pytestmark = pytest.mark.vm

UNIT = "ovenbird-fan.service"
DUTY = "0x18 0x22"
"""The fan's speed, 0 to 255 (AMC6821, register DCY)."""
LINES = "0x34 0x17"
"""What the first eight lines put out (ADP5588, register GPIO_DAT_OUT1)."""
SETTINGS = 'curve = ["40:0", "50:40", "70:100"]\nsensors = ["lm75"]\ninterval = 1\nwindow = 4\nkick = 0\n'


@pytest.fixture(scope="module")
def device(tool: Tool, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device of these tests."""
    out = OUTPUT / "fan"
    tool.build(RECIPES / "fan", "--out", out)
    folder = tmp_path_factory.mktemp("fan")
    with guest(out, folder, key=key, password="tobak-mirun-depol", disk="virtio-blk-pci") as running:
        yield running


def test_a_curve_that_falls_stops_the_build_in_one_line(tool: Tool, tmp_path: Path, device: Guest) -> None:
    """After the device's own image, so that all but one stage is in the store."""
    stages = '[build]\nstages = [{ use = "fan", curve = ["45:50", "60:30"] }]\n'
    (tmp_path / "ovenbird.toml").write_text(f'include = ["{RECIPES}/fan/ovenbird.toml"]\n{stages}')
    done = tool.run("build", tmp_path, "--out", tmp_path / "out")
    assert done.code != 0
    assert 'fan: `curve`: "60:30" is hotter than "45:50", so it cannot be slower' in done.err
    assert "Traceback" not in done.err


def register(device: Guest, place: str) -> int:
    """One register of a chip, whose driver has it."""
    return int(device.run(f"i2cget -f -y $(cat /run/fan-bus) {place}"), 16)


def heat(device: Guest, celsius: int, then: str = "") -> str:
    """Set the thermometer (LM75, register 0, the high byte first)."""
    return device.run(f"i2cset -f -y $(cat /run/fan-bus) 0x48 0 0x00{celsius:02x} w\n{then}")


def until(device: Guest, place: str, wanted: int) -> None:
    """Wait until a register has a value."""
    wait(lambda: register(device, place) == wanted or None, PATIENCE)


def until_state(device: Guest, state: str) -> Any:  # noqa: ANN401  # The device's JSON.
    """Wait until the page tells that the fan is in a state; returns what it tells."""
    return wait(lambda: found if (found := device.overview()["fan"]) and found["state"] == state else None, PATIENCE)


def put(device: Guest, settings: str) -> None:
    """Write the settings, as an editor does."""
    device.run(
        f"cat >/etc/ovenbird/fan.toml.new <<'END'\n{settings}END\nmv /etc/ovenbird/fan.toml.new /etc/ovenbird/fan.toml"
    )


def test_it_runs_from_the_boot_on_with_no_more_rights_than_it_needs(device: Guest) -> None:
    assert device.run(f"systemctl is-active {UNIT}") == "active"
    assert device.run("systemctl --failed --plain --no-legend") == ""
    assert device.run("journalctl -b --no-pager | grep -c 'ordering cycle' || true") == "0"
    status = device.run(f"cat /proc/$(systemctl show -P MainPID {UNIT})/status")
    held = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")))
    assert {held[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
    mounts = device.run(f"cat /proc/$(systemctl show -P MainPID {UNIT})/mountinfo")
    assert {line.split()[5].split(",")[0] for line in mounts.splitlines() if line.split()[4] == "/sys"} == {"ro"}


def test_a_cold_machine_has_a_fan_that_stands_still(device: Guest) -> None:
    facts = until_state(device, "regulating")
    assert (facts["kind"], facts["output"], facts["speed"]) == ("hwmon", "amc6821/pwm1", 0)
    assert facts["sensors"] == [{"name": "lm75", "celsius": 30.0}]
    assert facts["curve"] == [[40, 0], [50, 40], [70, 100]]
    assert register(device, DUTY) == 0


def test_it_starts_with_a_kick_and_follows_the_temperature(device: Guest) -> None:
    follow = f"""
        last=; end=$(($(date +%s) + 120))
        while [ "$last" != 0x8c ] && [ $(date +%s) -lt $end ]; do
            now=$(i2cget -f -y $(cat /run/fan-bus) {DUTY})
            [ "$now" = "$last" ] || echo "$now"
            last=$now
        done"""
    assert heat(device, 55, follow).split()[-2:] == ["0xff", "0x8c"]  # 55 percent of 255
    facts = until_state(device, "regulating")
    assert (facts["celsius"], facts["level"], facts["speed"]) == (55.0, 55.0, 55)
    heat(device, 75)
    until(device, DUTY, 255)
    heat(device, 30)
    until(device, DUTY, 0)


def test_page_and_metrics_show_it(device: Guest) -> None:
    metrics = device.ask("GET", "/metrics").text
    assert 'ovenbird_fan_state{state="regulating"} 1' in metrics
    assert 'ovenbird_fan_speed_ratio{kind="hwmon",output="amc6821/pwm1"} 0.0' in metrics
    assert 'ovenbird_fan_sensor_celsius{sensor="lm75"} 30.0' in metrics
    page = device.run(
        "python3 -c 'import urllib.request as r;"
        'print(r.urlopen(r.Request("http://localhost/", headers={"Accept": "text/html"})).read().decode())\''
    )
    assert 'id="fan-title"' in page
    assert "Driven by hwmon amc6821/pwm1." in page


def test_a_thermometer_that_is_gone_means_full_speed(device: Guest) -> None:
    device.run("echo 0x48 >/sys/bus/i2c/devices/i2c-$(cat /run/fan-bus)/delete_device")
    until(device, DUTY, 255)
    facts = until_state(device, "failsafe")
    assert facts["problem"] == "lm75 cannot be read"
    assert facts["sensors"] == [{"name": "lm75", "celsius": None}]
    device.run("echo lm75 0x48 >/sys/bus/i2c/devices/i2c-$(cat /run/fan-bus)/new_device")
    until(device, DUTY, 0)
    assert until_state(device, "regulating")["problem"] == ""


def test_new_settings_are_in_force_when_they_are_saved(device: Guest) -> None:
    heat(device, 50)
    until(device, DUTY, 102)
    put(device, SETTINGS.replace("50:40", "50:80"))
    until(device, DUTY, 204)
    put(device, SETTINGS)
    device.run(f"systemctl reload {UNIT}")
    until(device, DUTY, 102)
    put(device, SETTINGS.replace("50:40", "30:40"))
    facts = wait(lambda: found if (found := device.overview()["fan"])["problem"] else None, PATIENCE)
    assert facts["problem"].startswith('/etc/ovenbird/fan.toml:1: `curve`: "30:40" comes after "40:0"')
    assert (facts["state"], register(device, DUTY)) == ("regulating", 102)
    put(device, SETTINGS)


def test_people_can_check_and_test_it(device: Guest) -> None:
    heat(device, 30)
    until(device, DUTY, 0)
    assert device.run("ovenbird-fan --check").splitlines()[:2] == [
        "output    hwmon amc6821/pwm1",
        "sensor    lm75: 30.0 °C",
    ]
    shown = device.run("ovenbird-fan --test").splitlines()
    assert [line.split()[0] for line in shown] == ["100", "80", "60", "40", "20", "0"]
    until_state(device, "regulating")


@pytest.mark.parametrize("signal", ["KILL", "SEGV"])
def test_however_it_ends_the_fan_is_at_full_speed_and_it_comes_back(device: Guest, signal: str) -> None:
    until(device, DUTY, 0)
    # Held back, so that what is between its end and its next start can be seen.
    held = f"/run/systemd/system/{UNIT}.d"
    device.run(f"mkdir -p {held}; printf '[Service]\\nRestart=no\\n' >{held}/hold.conf; systemctl daemon-reload")
    device.run(f"kill -{signal} $(systemctl show -P MainPID {UNIT})")
    until(device, DUTY, 255)
    assert until_state(device, "stopped")["speed"] == 100
    device.run(f"rm -r {held}; systemctl daemon-reload; systemctl reset-failed {UNIT}; systemctl start {UNIT}")
    until(device, DUTY, 0)
    process = device.run(f"systemctl show -P MainPID {UNIT}")
    device.run(f"kill -{signal} {process}")
    wait(lambda: device.run(f"systemctl show -P MainPID {UNIT}") not in (process, "0") or None, PATIENCE)
    until_state(device, "regulating")


def line(device: Guest) -> bool:
    """Whether the second line of the GPIO chip is on."""
    return bool(register(device, LINES) & 2)


def test_a_gpio_line_is_switched_and_pulsed(device: Guest) -> None:
    put(device, SETTINGS + 'output = "gpio"\ngpio = "1"\nfrequency = 0\n')
    facts = wait(lambda: found if (found := device.overview()["fan"])["kind"] == "gpio" else None, PATIENCE)
    assert facts["output"] == "gpiochip0/1"
    assert register(device, DUTY) == 255  # The other one was left at full speed.
    wait(lambda: None if line(device) else True, PATIENCE)
    heat(device, 60)
    wait(lambda: line(device) or None, PATIENCE)
    put(device, SETTINGS + 'output = "gpio"\ngpio = "1"\nfrequency = 20\n')
    wait(lambda: device.overview()["fan"]["speed"] == 70 or None, PATIENCE)
    seen = device.run(f"for n in $(seq 60); do i2cget -f -y $(cat /run/fan-bus) {LINES}; done")
    assert len(set(seen.split())) == 2


def test_the_line_is_kept_while_nobody_runs(device: Guest) -> None:
    assert device.run(f"systemctl show -P NFileDescriptorStore {UNIT}") == "1"
    process = device.run(f"systemctl show -P MainPID {UNIT}")
    device.run(f"kill -KILL {process}")
    wait(lambda: device.run(f"systemctl show -P MainPID {UNIT}") not in (process, "0") or None, PATIENCE)
    wait(lambda: device.overview()["fan"]["speed"] == 70 or None, PATIENCE)
    device.run(f"systemctl stop {UNIT}")
    assert line(device)
    assert device.run(f"systemctl show -P NFileDescriptorStore {UNIT}") == "1"
    taken = device.ssh("sudo", "ovenbird-fan", "--full")
    assert taken.returncode == 1
    assert "line gpiochip0/1 belongs to ovenbird-fan" in taken.stderr
    device.run(f"systemctl start {UNIT}")
    until_state(device, "regulating")


def test_a_line_that_does_not_exist_is_one_clear_error(device: Guest) -> None:
    put(device, SETTINGS + 'output = "gpio"\ngpio = "99"\n')
    words = "there is no line 99 at gpiochip0"
    facts = wait(lambda: found if words in (found := device.overview()["fan"])["problem"] else None, PATIENCE)
    assert facts["state"] == "failsafe"
    assert line(device)
    done = device.ssh("sudo", "ovenbird-fan", "--check")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ovenbird-fan: {words}")
    assert done.stderr.count("\n") == 1
    put(device, SETTINGS)
    until_state(device, "regulating")


def test_nothing_complains_and_little_is_used(device: Guest) -> None:
    assert device.run("systemctl --failed --plain --no-legend") == ""
    assert int(device.run(f"systemctl show -P MemoryPeak {UNIT}")) < 40 << 20
    warnings = device.run(f"journalctl -b -u {UNIT} -p warning --no-pager -o cat").splitlines()
    print("\n".join(warnings))
    assert not [one for one in warnings if "Traceback" in one or "Unknown" in one or "denied" in one.lower()]
