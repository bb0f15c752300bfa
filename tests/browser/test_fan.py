"""The fan's card on the overview, drawn from what the real daemon tells of a kernel's files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import tree
from tests.browser.conftest import OUTPUT, Device, wait_for
from tests.browser.test_overview import visit

pytestmark = pytest.mark.browser

SETTINGS = 'curve = ["40:0", "50:40", "70:100"]\ninterval = 0.2\nwindow = 0.2\nkick = 0\nsensors = ["cpu-thermal"]\n'


@dataclass
class Fan:
    """The daemon beside the agent."""

    device: Device
    process: subprocess.Popen[bytes]

    def heat(self, celsius: float | None) -> None:
        """What the thermometer says; None: nothing."""
        new = self.device.folder / "new"
        new.write_text("" if celsius is None else f"{int(celsius * 1000)}\n")
        new.replace(self.device.folder / "sys/class/thermal/thermal_zone0/temp")


@pytest.fixture
def fan(device: Device) -> Iterator[Fan]:
    """A chip for a fan, and its daemon."""
    folder = device.folder
    chip = folder / "sys/class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    for name, text in {"name": "amc6821", "pwm1": "0", "pwm1_enable": "1", "fan1_input": "1480"}.items():
        (chip / name).write_text(f"{text}\n")
    (folder / "fan.toml").write_text(SETTINGS)
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.fan", "--runtime", str(folder / "run")]
    command += ["--system", str(folder / "sys"), "--devices", str(folder / "dev"), str(folder / "fan.toml")]
    with subprocess.Popen(command) as process:
        wait_for((folder / "run/ovenbird-fan/state.json").exists)
        yield Fan(device, process)
        process.terminate()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_the_card_shows_speed_sensors_and_curve(chromium: Browser, fan: Fan, size: str, scheme: str) -> None:
    fan.heat(58)
    context, page, complaints = visit(chromium, fan.device, size=size, scheme=scheme)  # type: ignore[arg-type] # one of both
    card = page.get_by_role("region", name="Fan")
    expect(card).to_contain_text("64 %", timeout=10_000)
    expect(card).to_contain_text(
        "By its curve, at 58.0 °C. It makes 1480 turns a minute. Driven by hwmon amc6821/pwm1."
    )
    expect(card.get_by_role("figure", name="The curve: 40 °C 0 %, 50 °C 40 %, 70 °C 100 %")).to_be_visible()
    assert card.locator("dt").all_inner_texts() == ["cpu-thermal"]
    # The dot lies on the curve: where it is hot and fast, it is right and high.
    dot, plot = card.locator(".dot").bounding_box(), card.locator(".fan-plot svg").bounding_box()
    assert dot
    assert plot
    assert abs((dot["y"] + dot["height"] / 2 - plot["y"]) / plot["height"] - 0.36) < 0.05
    assert plot["x"] < dot["x"] < plot["x"] + plot["width"]
    page.screenshot(path=OUTPUT / f"fan-{size}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert tree.troubles(page) == []
    assert complaints == []
    context.close()


def test_the_card_is_live_and_says_what_is_wrong(chromium: Browser, fan: Fan, tmp_path: Path) -> None:
    fan.heat(35)
    context, page, complaints = visit(chromium, fan.device)
    card = page.get_by_role("region", name="Fan")
    expect(card).to_contain_text("By its curve, at 38.0 °C.", timeout=10_000)
    fan.heat(None)
    expect(card).to_contain_text("100 %", timeout=10_000)
    expect(card).to_contain_text("At full speed, to be safe.")
    expect(card).to_contain_text("cpu-thermal cannot be read.")
    page.screenshot(path=OUTPUT / "fan-failsafe.png", full_page=True)
    fan.heat(35)
    expect(card).to_contain_text("By its curve", timeout=10_000)
    (tmp_path / "fan.toml").write_text(SETTINGS.replace("50:40", "30:40"))
    complaint = 'fan.toml:1: `curve`: "30:40" comes after "40:0", so it must be hotter.'
    expect(card).to_contain_text(complaint, timeout=10_000)
    fan.process.terminate()
    expect(card).to_contain_text("its service has ended, and left it at full speed", timeout=10_000)
    assert complaints == []
    context.close()


def test_a_device_without_a_fan_has_no_card(chromium: Browser, device: Device) -> None:
    context, page, _ = visit(chromium, device)
    expect(page.get_by_role("heading", name="Temperature")).to_be_visible()
    assert page.get_by_role("region", name="Fan").count() == 0
    context.close()
