"""Health, network, storage, users, changes, the support bundle: as people see them, with and without JavaScript."""

from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from ovenbird_device.health import history, report
from ovenbird_device.health.report import CheckReport
from ovenbird_device.network import settings, trial
from ovenbird_device.rescue import reset
from ovenbird_device.slots import files
from ovenbird_device.steward.changes import Changes
from tests.unit.console.test_storage import Sysfs

from .conftest import NOTE, OUTPUT, PASSWORD, Device
from .test_overview import CONTRAST
from .test_services import Scheme, fits, visit

pytestmark = pytest.mark.browser

PAGES = ("health", "network", "network/eth0", "storage", "users", "changes", "support")


def furnish(device: Device) -> None:
    """Give a device something to show on each page."""
    state = device.folder / "state"
    checks = (CheckReport(name="agent", state="ok", detail="answers"), CheckReport(name="web", state="failing"))
    report.publish(
        report.Health(state="good", slot="b", watching=True, checks=checks), device.folder / "run/ovenbird/health.json"
    )
    for number, verdict in enumerate(("good", "unhealthy", "good")):
        facts = {"slot": "b", "version": "1.4.0", "reason": "agent: no answer" * (verdict == "unhealthy")}
        history.note(state, f"boot-{number}", verdict, trial=False, **facts)
    lost = report.Trial(
        number=0, outcome="rolled-back", slot="a", version="1.5.0", reason="web: refused", checks=checks
    )
    report.keep(lost, b"the log of it\n", state / "trials")
    made = Changes(state)
    made.note("192.168.1.5", "control", "Restart hello", done=True)
    made.note("192.168.1.5", "control", "Stop ovenbird-agent", done=False, message="The page stands on it.")
    disk = {"type": "MMC", "name": "DG4016", "life_time": "0x0b 0x03", "pre_eol_info": "0x02"}
    sysfs = Sysfs.make(device.folder / "made", "mmcblk0", "soc/mmc0/mmc0:0001", disk)
    for name in ("devices", "class/block"):
        shutil.copytree(sysfs.folder / name, device.folder / "sys" / name, symlinks=True)
    for name, state_of, real in (("eth0", "up", True), ("wlan0", "dormant", True), ("podman0", "down", False)):
        folder = device.folder / "sys/class/net" / name
        (folder / "statistics").mkdir(parents=True)
        texts = {"type": "1", "address": "02:00:00:00:00:01", "operstate": state_of, "mtu": "1500", "speed": "1000"}
        for file, text in texts.items():
            (folder / file).write_text(f"{text}\n")
        if real:
            (folder / "device").mkdir()
    wanted = settings.parse({"mode": "fixed", "addresses": "192.168.1.7/24 fd00::7/64", "gateways": "192.168.1.1"})
    waiting = trial.Pending(id="abc", interface="eth0", settings=wanted, deadline_s=round(time.monotonic() + 600, 1))
    files.save(device.folder / "run/ovenbird/network/pending.json", waiting)
    device.note(f"{NOTE}root_device=/dev/mmcblk0p4\n")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_looks(chromium: Browser, device: Device, size: str, scheme: Scheme) -> None:
    furnish(device)
    context, page, complaints = visit(chromium, device, "/changes", size=size, scheme=scheme)
    for name in PAGES:
        page.goto(f"{device.url}/{name}")
        page.screenshot(path=OUTPUT / f"{name.replace('/', '-')}-{size}-{scheme}.png", full_page=True)
        assert fits(page), name
        assert page.evaluate(CONTRAST) == [], name
        assert page.locator("h1").count() == 1
        for field in page.locator("input:not([type=hidden]):not(.unseen), textarea").all():
            labelled = "element => element.labels.length > 0 || element.getAttribute('aria-label')"
            assert field.evaluate(labelled), f"{name}: a field without a name"
    assert complaints == []
    context.close()


def test_what_the_pages_tell_without_javascript(chromium: Browser, device: Device) -> None:
    furnish(device)
    context, page, _ = visit(chromium, device, "/health", script=False, signed_in=False)
    expect(page.get_by_text("Not everything that is looked at holds.")).to_be_visible()
    expect(page.get_by_text("Version 1.5.0 was rolled back")).to_be_visible()
    expect(page.get_by_text("1.4.0 in slot b was not well")).to_be_visible()
    page.goto(f"{device.url}/network")
    expect(page.get_by_text("unless somebody keeps it")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in to keep it")).to_be_visible()
    page.goto(f"{device.url}/network?keep=abc")
    expect(page.get_by_role("button", name="Keep it")).to_be_visible()
    page.goto(f"{device.url}/storage")
    expect(page.get_by_text("It is beyond the life that it was made for.")).to_be_visible()
    expect(page.get_by_role("button", name="Erase and restart")).to_have_count(0)
    context.close()


def test_a_factory_reset_by_keyboard(chromium: Browser, device: Device) -> None:
    furnish(device)
    context, page, _ = visit(chromium, device, "/storage")
    field = page.get_by_label("Type factory reset")
    field.focus()
    page.keyboard.type("factory")
    page.keyboard.press("Enter")  # the browser says what is missing
    assert "reboot" not in device.orders()
    field.fill("factory reset")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Erase and restart")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Restarting")).to_be_visible()
    assert "reboot" in device.orders()
    assert (device.folder / "state" / reset.AT_BOOT).is_file()
    context.close()


def test_the_support_bundle_is_downloaded(chromium: Browser, device: Device, tmp_path: Path) -> None:
    furnish(device)
    context, page, complaints = visit(chromium, device, "/health")
    page.get_by_role("link", name="Support bundle").click()
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()
    begun.value.save_as(tmp_path / "support.zip")
    with zipfile.ZipFile(tmp_path / "support.zip") as found:
        assert found.testzip() is None
        assert b"the log of it" in found.read("trials/0001.txt")
    assert complaints == []
    context.close()


def test_times_are_those_of_whoever_looks(chromium: Browser, device: Device) -> None:
    furnish(device)
    with httpx.Client(base_url=device.url, trust_env=False, auth=("ovenbird", PASSWORD)) as client:
        stamp = client.get("/changes").json()["changes"][0]["time"]
    context, page, _ = visit(chromium, device, "/changes")
    shown = page.locator("time.local").first.inner_text()
    style = "{dateStyle: 'medium', timeStyle: 'short'}"
    wanted = f"stamp => new Intl.DateTimeFormat(undefined, {style}).format(stamp * 1000)"
    assert shown == page.evaluate(wanted, stamp)
    context.close()
