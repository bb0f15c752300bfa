"""The page of a real device in a real Chromium: read it, sign in, and restart the device by its button."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.tool import OUTPUT
from tests.vm.guest import PATIENCE, guest

pytestmark = [pytest.mark.browser, pytest.mark.vm]

PASSWORD = "tobak-mirun-depol"
PATIENT = PATIENCE * 1000  # milliseconds


def test_somebody_restarts_the_device_by_its_page(chromium: Browser, hello: Path, tmp_path: Path) -> None:
    with guest(hello, tmp_path, password=PASSWORD) as device:
        assert "with password" not in device.machine.console
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENT / 4)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(device.url)
        expect(page.get_by_role("heading", name="hello", exact=True)).to_be_visible()
        expect(page.get_by_text("Running from slot a, all is well.")).to_be_visible()
        expect(page.get_by_text("10.0.2.15/24")).to_be_visible()
        expect(page.get_by_text(re.compile("settings fresh"))).to_be_visible()
        page.screenshot(path=OUTPUT / "guest-overview.png", full_page=True)

        page.get_by_role("link", name="Restart…").click()
        page.get_by_label("Device password").fill("not-the-password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("That is not this device's password.")).to_be_visible()
        page.get_by_label("Device password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Restart?")).to_be_visible()
        page.get_by_role("button", name="Restart").click()
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible()
        page.screenshot(path=OUTPUT / "guest-restarting.png", full_page=True)
        assert device.wait_for_boot()["etc"] == "kept"
        # The waiting page sees that by itself and goes back to the overview.
        expect(page.get_by_role("heading", name="hello", exact=True)).to_be_visible(timeout=PATIENT)
        expect(page.get_by_text(re.compile("settings fresh"))).to_have_count(0)
        page.screenshot(path=OUTPUT / "guest-again.png", full_page=True)
        assert complaints == []

        page.goto(f"{device.url}poweroff")
        page.get_by_label("Device password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name=re.compile("off", re.IGNORECASE)).click()
        assert device.machine.wait_off(PATIENCE)
        context.close()
