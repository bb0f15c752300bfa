"""The terminal as people use it: a real shell, typed into with real keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.lab import PASSWORD, Lab, Maker
from tests.unit.terminal.conftest import opened

from .conftest import OUTPUT
from .test_overview import CONTRAST, SIZES, sign_in

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]


@pytest.fixture
def lab_device(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A device whose image has a terminal."""
    with opened(tmp_path / "device", maker) as running:
        yield running


def visit(
    browser: Browser, device: Lab, *, size: str = "desktop", scheme: Scheme = "light", script: bool = True
) -> tuple[BrowserContext, Page, list[str]]:
    """Open the page, signed in; the list collects everything that the browser complains about."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(device.url)
    page.get_by_role("link", name="Terminal").click()
    sign_in(page)
    page.wait_for_url(f"{device.url}/terminal")
    return context, page, complaints


def open_it(page: Page) -> None:
    page.get_by_label("Device password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#state")).to_have_text("Open.", timeout=60_000)


def type_line(page: Page, text: str) -> None:
    page.keyboard.type(text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_a_shell_in_the_page(chromium: Browser, lab_device: Lab, size: str, scheme: Scheme) -> None:
    context, page, complaints = visit(chromium, lab_device, size=size, scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    page.screenshot(path=OUTPUT / f"terminal-before-{size}-{scheme}.png", full_page=True)
    open_it(page)
    rows = page.locator("#terminal .xterm-rows")
    type_line(page, "PS1='$ '; clear; echo $((6*7))")
    expect(rows.locator("> div").filter(has_text="42")).to_have_count(1, timeout=30_000)
    expect(page.locator("#terminal .xterm-accessibility")).to_contain_text("42")
    type_line(page, r"printf '\033[1;31mred\033[0m \033[32mgreen\033[0m caf\303\251\n'; stty size")
    expect(rows).to_contain_text("red green café", timeout=30_000)
    colour = rows.locator("span", has_text="red").last.evaluate("span => getComputedStyle(span).color")
    assert colour != rows.evaluate("rows => getComputedStyle(rows).color"), "its style sheets are in force"
    page.screenshot(path=OUTPUT / f"terminal-{size}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert complaints == []
    context.close()


def test_the_window_grows_with_the_page(chromium: Browser, lab_device: Lab) -> None:
    context, page, complaints = visit(chromium, lab_device, size="phone")
    open_it(page)
    rows = page.locator("#terminal .xterm-rows")
    type_line(page, "trap 'echo wide $(stty size) enough' WINCH; echo read''y")
    expect(rows).to_contain_text("ready")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("enough", timeout=30_000)
    columns = int(rows.inner_text().split("wide ")[-1].split(" ")[1])
    assert columns > 80
    assert complaints == []
    context.close()


def test_keys_lead_in_and_out(chromium: Browser, lab_device: Lab) -> None:
    context, page, complaints = visit(chromium, lab_device)
    open_it(page)
    inside = page.get_by_label("Shell of tester. Control F6 leaves it.")
    expect(inside).to_be_focused()
    page.keyboard.press("Tab")
    expect(inside).to_be_focused()
    page.keyboard.press("Control+F6")
    button = page.get_by_role("button", name="Close it")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("It is closed.")
    expect(page.get_by_label("Device password, once more")).to_be_focused()
    open_it(page)
    expect(inside).to_have_count(1)
    type_line(page, "exit")
    expect(page.locator("#state")).to_have_text("The shell has ended.", timeout=30_000)
    assert complaints == []
    context.close()


def test_a_wrong_password(chromium: Browser, lab_device: Lab) -> None:
    context, page, _ = visit(chromium, lab_device)
    page.get_by_label("Device password, once more").fill("wrong one")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#state")).to_have_text("That is not this device's password.")
    expect(page.locator("#terminal")).to_be_hidden()
    context.close()


def test_without_script(chromium: Browser, lab_device: Lab) -> None:
    context, page, complaints = visit(chromium, lab_device, script=False)
    expect(page.get_by_text("A terminal needs JavaScript.")).to_be_visible()
    expect(page.get_by_role("button", name="Open")).to_be_hidden()
    assert complaints == []
    context.close()


def test_a_page_that_goes_away_ends_its_shell(chromium: Browser, lab_device: Lab) -> None:
    context, page, _ = visit(chromium, lab_device)
    open_it(page)
    with lab_device.client() as client:
        assert client.get("/terminal").json()["open"] == 1
        page.goto(lab_device.url)
        for _ in range(100):
            if client.get("/terminal").json()["open"] == 0:
                break
            page.wait_for_timeout(100)
        assert client.get("/terminal").json()["open"] == 0
    context.close()
