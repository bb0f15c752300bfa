"""Updates as people do them, from end to end: real images, a real machine, the installed program, a real Chromium.

One device lives through it all: a good update from the workstation, a bad one from the page, good ones by SWUpdate's
interface. Screenshots of the page go to `test-output/`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ovenbird.vm.command import Boot
from ovenbird.vm.network import ADDRESS
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.tool import OUTPUT, Tool
from tests.vm.guest import PATIENCE, Guest, guest, wait
from tests.vm.updating import PASSWORD, Images

pytestmark = [pytest.mark.vm, pytest.mark.browser, pytest.mark.endurance]

SLOW = PATIENCE * 1000


@pytest.fixture(scope="module")
def device(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device, at its first boot of 1.0.0."""
    folder = tmp_path_factory.mktemp("device")
    with guest(images.out("1.0.0"), folder, boot=Boot.UEFI, password=PASSWORD) as running:
        yield running


def status(device: Guest) -> dict[str, object]:
    """What `/update` says."""
    found: dict[str, object] = device.ask("GET", "/update").json()
    return found


def last(device: Guest) -> tuple[str, str]:
    """How the last update ended: outcome and version."""
    found = device.ask("GET", "/update").json()["last"]
    return found["outcome"], found["version"]


def test_from_the_workstation(device: Guest, tool: Tool, images: Images) -> None:
    target = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{device.machine.port(80)}/"
    done = tool.run("update", target, "--recipe", images.folder / "1.1.0", env=images.environment, within=3 * PATIENCE)
    assert done.code == 0, f"{done.out}{done.err}\n{device.machine.console[-3000:]}"
    assert "version 1.1.0 is committed in slot b" in done.out
    assert last(device) == ("committed", "1.1.0")
    health = device.health()
    assert (health["status"], health["system"]["state"]) == ("ok", "committed")
    slots = tool.run("slots", f"{ADDRESS}:{device.machine.port(80)}", "--json", env=images.environment)
    assert json.loads(slots.out)["active"] == "b"


@pytest.fixture(scope="module")
def page(device: Guest) -> Generator[Page]:
    """The update page in Chromium, signed in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(120_000)
        expect.set_options(timeout=120_000)
        try:
            yield page
        finally:
            expect.set_options(timeout=5_000)  # as it comes
            page.screenshot(path=OUTPUT / "vm-update-last.png", full_page=True)  # what a failed test saw
            browser.close()


def sign_in(page: Page, device: Guest) -> None:
    """Open the page of updates with the password."""
    page.goto(f"{device.url}login?next=/update")
    page.get_by_label("Device password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/update")


def shoot(page: Page, name: str) -> None:
    """A screenshot on a desktop by day and on a phone by night."""
    page.screenshot(path=OUTPUT / f"vm-update-{name}-desktop-light.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=OUTPUT / f"vm-update-{name}-phone-dark.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})


def send(page: Page, bundle: Path) -> None:
    """Choose a bundle and send it."""
    page.get_by_label("Bundle, a .swu file").set_input_files(bundle)
    page.get_by_role("button", name="Update").click()


def test_a_bad_one_from_the_page_rolls_back(device: Guest, images: Images, page: Page) -> None:
    assert status(device)["state"] == "idle"
    sign_in(page, device)
    send(page, images.bundle("1.2.0"))
    expect(page.get_by_text("received")).to_be_visible()
    shoot(page, "uploading")
    expect(page.get_by_role("heading", name="On trial")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("the mark says bad")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(" left")).to_be_visible()
    shoot(page, "trial")
    expect(page.get_by_role("heading", name="Version 1.2.0 was rolled back")).to_be_visible(timeout=2 * SLOW)
    expect(page.get_by_text("the mark says bad").first).to_be_visible()
    expect(page.get_by_text("Slot b runs version 1.1.0.")).to_be_visible()
    shoot(page, "rolled-back")
    assert last(device) == ("rolled-back", "1.2.0")
    log = device.ask("GET", "/update/log")
    assert (log.status, "systemd" in log.text) == (200, True)
    sign_in(page, device)
    send(page, images.bundle("1.2.0"))
    expect(page.get_by_role("alert")).to_contain_text("failed on this device before")


def test_a_good_one_from_the_page_commits(device: Guest, images: Images, page: Page) -> None:
    sign_in(page, device)
    send(page, images.bundle("1.3.0"))
    expect(page.get_by_role("heading", name="On trial")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="Version 1.3.0 is committed")).to_be_visible(timeout=SLOW)
    shoot(page, "committed")
    assert last(device) == ("committed", "1.3.0")
    assert device.overview()["slot"] == "a"


def test_by_swupdate_s_interface(images: Images, tmp_path: Path) -> None:
    with guest(images.out("1.0.0"), tmp_path, password=PASSWORD, ports=[8080]) as device:
        url = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{device.machine.port(8080)}"
        words = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "--noproxy", "*"]
        upload = [*words, "-F", f"file=@{images.bundle('1.3.0')}", f"{url}/upload"]
        assert subprocess.run(upload, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout == "200"
        wait(lambda: status(device)["state"] == "armed", PATIENCE)
        restart = [*words, "-X", "POST", f"{url}/restart"]
        assert subprocess.run(restart, capture_output=True, text=True, check=True, timeout=60).stdout == "201"
        device.wait_for_boot()
        wait(lambda: last(device) == ("committed", "1.3.0"), PATIENCE)
