"""Every page: as a narrow phone has it, as a screen reader and a keyboard have it, and without JavaScript."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import OUTPUT, Device
from .test_console import furnish
from .test_overview import CONTRAST, SIZES
from .test_services import fits, say, visit
from .tree import troubles

pytestmark = pytest.mark.browser

PAGES = {
    "": "Running from slot b",
    "services": "crash does not stay up.",
    "services?all=1": "ssh",
    "services/hello": "GET /page/7",
    "logs": "GET /page/7",
    "health": "Version 1.5.0 was rolled back",
    "network": "192.168.1.7",
    "network/eth0": "From the network (DHCP)",
    "storage": "eMMC",
    "users": "/home/admin",
    "changes": "Restart hello",
    "support": "Programs can print secrets",
    "password": "New password again",
    "history": "Processor",
    "update": "slot",
    "reboot": "Services stop in order",
    "poweroff": "somebody has to switch it on",
    "nothing": "There is no such page on this device.",
}
"""Each page, and words that are on it."""
NARROW = {"width": 360, "height": 740}
FOCUSABLE = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, [tabindex]")].filter(
  (one) => one.tabIndex >= 0 && !one.disabled && one.type !== "hidden" && one.checkVisibility()).length"""
RADIOS = '() => document.querySelectorAll("input[type=radio]").length'


def prepare(device: Device) -> None:
    """Something to show on each page."""
    furnish(device)
    say(device, *(f"GET /page/{number} 200" for number in range(9)))


def shot(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "overview"


def test_every_page_for_eyes_and_ears(chromium: Browser, device: Device) -> None:
    prepare(device)
    context, page, complaints = visit(chromium, device, "/services")
    wrong: dict[str, list[object]] = {}
    for name, words in PAGES.items():
        page.goto(f"{device.url}/{name}")
        expect(page.locator("main")).to_contain_text(words)
        seen: list[object] = list(troubles(page))
        for size, (width, height) in {**SIZES, "narrow": (NARROW["width"], NARROW["height"])}.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=OUTPUT / f"page-{shot(name)}-{size}.png", full_page=True)
            seen += [] if fits(page) else [f"wider than a {size} screen"]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            seen += page.evaluate(CONTRAST)
        if seen:
            wrong[name] = seen
    assert wrong == {}
    assert [text for text in complaints if not re.search("40[0-9]|503", text)] == []
    context.close()


def test_every_page_is_read_without_javascript(chromium: Browser, device: Device) -> None:
    prepare(device)
    context, page, _ = visit(chromium, device, "/services", script=False)
    for name, words in PAGES.items():
        page.goto(f"{device.url}/{name}")
        expect(page.locator("main")).to_contain_text(words, use_inner_text=True)
        assert page.locator("h1").is_visible()
        times = page.locator("time").all_inner_texts()
        assert all(re.search(r"[0-9]{2}:[0-9]{2}", text) for text in times), name
    context.close()


def tabbed(page: Page) -> list[str]:
    """What the Tab key reaches one after the other, until it leaves the page."""
    reached: list[str] = []
    while len(reached) < 200:
        page.keyboard.press("Tab")
        what: str = page.evaluate(
            """() => {
                const one = document.activeElement;
                if (!one || one === document.body) return "";
                const ring = getComputedStyle(one), box = one.getBoundingClientRect();
                const shown = ring.outlineStyle === "solid" && parseFloat(ring.outlineWidth) >= 2
                    && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
                return `${shown ? "" : "NOT SEEN: "}${one.tagName} ${one.id} ${one.textContent.trim()}`;
            }"""
        )
        if not what or (reached and what == reached[0]):
            return reached
        reached.append(what)
    return reached


def test_every_page_by_keyboard(chromium: Browser, device: Device) -> None:
    """Tab reaches all that can be used, in the order of the page, where one sees it; the first skips to the content."""
    prepare(device)
    context, page, _ = visit(chromium, device, "/services")
    for name in PAGES:
        page.goto(f"{device.url}/{name}")
        page.evaluate("document.activeElement.blur()")
        reached = tabbed(page)
        assert [one for one in reached if one.startswith("NOT SEEN")] == [], name
        assert reached[0].endswith("Skip to the content"), name
        radios: int = page.evaluate(RADIOS)  # One stop for all: the arrow keys do the rest.
        assert len(reached) == page.evaluate(FOCUSABLE) - max(0, radios - 1), (name, reached)
        page.goto(f"{device.url}/{name}")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('header')"), name
    context.close()


def test_the_first_view_is_light(chromium: Browser, device: Device) -> None:
    """Everything that the overview loads, as it went over the wire."""
    context = chromium.new_context()
    page = context.new_page()
    session: Any = context.new_cdp_session(page)
    session.send("Network.enable")
    loaded: dict[str, int] = {}
    asked: dict[str, str] = {}

    def begins(event: dict[str, Any]) -> None:
        asked[event["requestId"]] = event["request"]["url"]

    def ends(event: dict[str, Any]) -> None:
        loaded[event["requestId"]] = int(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", begins)
    session.on("Network.loadingFinished", ends)
    page.goto(device.url, wait_until="load")
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    page.wait_for_load_state("networkidle")
    parts = {urlsplit(asked[number]).path: size for number, size in loaded.items()}
    assert {urlsplit(url).netloc for url in asked.values() if url.startswith("http")} == {urlsplit(device.url).netloc}
    assert len([name for name in parts if name.endswith(".js")]) == 3
    assert any(name.endswith(".css") for name in parts)
    assert 10_000 < sum(parts.values()) < 60_000, parts
    context.close()


def test_only_what_matters_is_read_out(chromium: Browser, device: Device) -> None:
    """The numbers change every three seconds in silence; that an app went down is said, once."""
    context, page, complaints = visit(chromium, device, "/services/hello")
    said = page.locator("#said")
    with page.expect_response(lambda answer: answer.url.endswith("/services/hello")):
        pass
    expect(said).to_have_text("")
    unit = device.folder / "units/app-hello.service"
    unit.write_text(
        re.sub("(?m)^SubState=.*$", "SubState=failed", re.sub("ActiveState=.*", "ActiveState=failed", unit.read_text()))
    )
    expect(said).to_have_text("failed", timeout=15_000)
    assert complaints == []
    context.close()


def test_what_is_drawn_anew_keeps_the_focus(chromium: Browser, device: Device) -> None:
    """Whoever has reached a button by keyboard is still there when the numbers beside it have changed."""
    prepare(device)
    context, page, complaints = visit(chromium, device, "/services/hello")
    for path, reached in (
        ("services/hello", page.get_by_role("button", name="Stop")),
        ("services?all=1", page.get_by_role("link", name="ssh")),
        ("network", page.get_by_role("button", name="Undo it now")),
    ):
        page.goto(f"{device.url}/{path}")
        reached.focus()
        marked = reached.element_handle()
        assert marked is not None
        for _ in range(200):  # until htmx has put another one in its place
            if not marked.evaluate("one => one.isConnected"):
                break
            page.wait_for_timeout(100)
        assert not marked.evaluate("one => one.isConnected"), path
        expect(reached).to_be_focused()
    assert complaints == []
    context.close()
