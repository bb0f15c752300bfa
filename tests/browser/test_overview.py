"""The device's page as people see it: on a phone and a desktop, by day and by night, with and without JavaScript."""

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from .conftest import NOTE, OUTPUT, PASSWORD, Device

pytestmark = pytest.mark.browser

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
Scheme = Literal["light", "dark"]


def visit(
    browser: Browser, device: Device, *, size: str = "desktop", scheme: Scheme = "light", script: bool = True
) -> tuple[BrowserContext, Page, list[str]]:
    """Open the overview; the list collects everything that the browser complains about."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(device.url)
    return context, page, complaints


def sign_in(page: Page) -> None:
    page.get_by_label("Device password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("state", ["well", "degraded"])
def test_looks(chromium: Browser, device: Device, size: str, scheme: Scheme, state: str) -> None:
    if state == "degraded":
        device.note("slot=a\ntrial=1\ndata=degraded\ndata_reason=e2fsck could not repair it (exit code 4)\n")
    context, page, complaints = visit(chromium, device, size=size, scheme=scheme)
    expect(page.get_by_role("img", name=re.compile("two chambers"))).to_be_visible()
    expect(page.get_by_role("heading", name="Temperature")).to_be_visible()
    if state == "degraded":
        expect(page.get_by_role("heading", name="This device runs without its data")).to_be_in_viewport()
        expect(page.get_by_text("e2fsck could not repair it")).to_be_visible()
    else:
        expect(page.get_by_text("Running from slot b, all is well.")).to_be_in_viewport()
        expect(page.get_by_text("6.4 s")).to_be_visible()
    page.screenshot(path=OUTPUT / f"overview-{state}-{size}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert complaints == []
    context.close()


def test_reading_needs_no_script(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, script=False)
    for text in ("hello 1.4.0", "48.3", "Kernel and initrd", "cpu-thermal"):
        expect(page.get_by_text(text).first).to_be_visible()
    page.get_by_role("link", name="Restart…").click()
    sign_in(page)
    expect(page.get_by_role("heading", name="Restart?")).to_be_visible()
    page.get_by_role("button", name="Restart").click()
    expect(page.get_by_role("heading", name="Restarting")).to_be_visible()
    assert device.orders() == "--no-block --no-wall reboot\n"
    assert complaints == []
    context.close()


def test_numbers_refresh_by_themselves(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device)
    (device.folder / "sys/class/thermal/thermal_zone0/temp").write_text("83750\n")
    reading = page.locator(".meter", has_text="Temperature")
    expect(reading).to_contain_text("83.8", timeout=10_000)
    expect(reading).to_contain_text("very high")
    assert page.locator("#now").count() == 1
    assert complaints == []
    context.close()


def test_a_device_that_is_away_is_said_and_comes_back(chromium: Browser, device: Device) -> None:
    context, page, _ = visit(chromium, device)
    device.agent.terminate()
    device.agent.wait(10)
    away = page.get_by_text(re.compile("The device does not answer"))
    expect(away).to_be_visible(timeout=15_000)
    page.screenshot(path=OUTPUT / "overview-away.png")
    device.start_agent()
    expect(away).to_be_hidden(timeout=15_000)
    expect(page.get_by_text("Running from slot b")).to_be_visible()
    context.close()


def test_restart_from_the_page(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, size="phone", scheme="dark")
    page.get_by_role("link", name="Restart…").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Device password").fill("wrong")
    page.screenshot(path=OUTPUT / "login-phone-dark.png")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not this device's password.")
    assert device.orders() == ""
    page.screenshot(path=OUTPUT / "login-wrong-phone-dark.png")
    sign_in(page)
    expect(page.get_by_role("heading", name="Restart?")).to_be_visible()
    page.screenshot(path=OUTPUT / "confirm-phone-dark.png")
    page.get_by_role("link", name="Keep running").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert device.orders() == ""
    page.get_by_role("link", name="Restart…").click()
    page.get_by_role("button", name="Restart").click()
    expect(page.get_by_role("heading", name="Restarting")).to_be_visible()
    assert device.orders() == "--no-block --no-wall reboot\n"
    device.agent.terminate()
    device.agent.wait(10)
    expect(page.locator("#progress")).to_contain_text("Waiting for it to come back", timeout=15_000)
    page.screenshot(path=OUTPUT / "restarting-phone-dark.png")
    assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text and "403" not in text] == []
    context.close()


def test_power_off_and_sign_out(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device)
    page.get_by_role("link", name="Sign in").click()
    sign_in(page)
    page.get_by_role("link", name="Power off…").click()
    expect(page.get_by_role("heading", name="Power off?")).to_be_visible()
    page.screenshot(path=OUTPUT / "poweroff-desktop-light.png")
    page.get_by_role("button", name="Power off").click()
    expect(page.get_by_role("heading", name="Powering off")).to_be_visible()
    assert device.orders() == "--no-block --no-wall poweroff\n"
    page.goto(device.url)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto(f"{device.url}/poweroff")
    expect(page.get_by_label("Device password")).to_be_focused()
    assert complaints == []
    context.close()


def test_another_site_cannot_restart_the_device(chromium: Browser, device: Device, tmp_path: Path) -> None:
    """A signed-in browser on a hostile page: a form and a script, both aimed at the device."""
    context, page, _ = visit(chromium, device)
    page.goto(f"{device.url}/login")
    sign_in(page)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    hostile = tmp_path / "hostile.html"
    hostile.write_text(f'<form method="post" action="{device.url}/reboot"><button>Win a prize</button></form>')
    page.goto(hostile.as_uri())
    page.get_by_role("button", name="Win a prize").click()
    expect(page.get_by_text("That request came from another site.")).to_be_visible()
    page.goto(hostile.as_uri())
    # Newer browsers stop this by themselves before it leaves; the device must not depend on that.
    send = "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'}).catch(() => {})"
    page.evaluate(send, f"{device.url}/reboot")
    assert device.orders() == ""
    context.close()


def test_keyboard_reaches_everything(chromium: Browser, device: Device) -> None:
    context, page, _ = visit(chromium, device)
    reached: list[str] = []
    for _ in range(15):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    pages = ["Services", "Health", "Log", "Network", "Storage", "Users", "Changes", "Update", "Slots"]
    assert reached == ["Skip to the content", "ovenbird", *pages, "Sign in", "Update…", "Restart…", "Power off…"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(chromium: Browser, device: Device, scheme: Scheme) -> None:
    """Every text against the nearest opaque background: 4.5 to 1, or 3 to 1 for large text (WCAG 2.2 AA)."""
    device.note(NOTE.replace("data=ok", "data=degraded"))
    context, page, _ = visit(chromium, device, scheme=scheme)
    for path in ("/", "/login", "/nothing"):
        page.goto(device.url + path)
        assert page.evaluate(CONTRAST) == []
    context.close()


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const root = getComputedStyle(document.documentElement);
  const canvas = document.createElement("canvas").getContext("2d");
  const named = (name) => {
    canvas.fillStyle = root.getPropertyValue(name);
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const sky = [named("--sky"), named("--haze")];
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("svg, script, .unseen, .skip")) continue;
    const style = getComputedStyle(element);
    let behind = sky;
    for (let up = element; up; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) { behind = [colour]; break; }
    }
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    for (const back of behind) {
      const [one, two] = [light(parse(style.color)), light(back)].sort((a, b) => b - a);
      const ratio = (one + 0.05) / (two + 0.05);
      if (ratio < wanted) poor.push(`${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
  }
  return poor;
}"""
