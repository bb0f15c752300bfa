"""The boot server's page: images, clients on their way, and the list that renews itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ovenbird.deliver.serve.images import Images
from ovenbird.deliver.serve.live import Stage
from ovenbird.progress import QuietProgress
from tests.unit.serve.making import Serving, make_out, serving

from .conftest import OUTPUT

pytestmark = pytest.mark.browser

MAC = "52:54:00:aa:00:01"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """One image, which was 1.0 before."""
    for version in ("1.0", "1.1"):
        Images(tmp_path).add(make_out(tmp_path / version, version=version, root=version.encode()), QuietProgress())
    with serving(tmp_path) as answering:
        yield answering


def visit(browser: Browser, server: Serving, *, phone: bool = False) -> tuple[Page, list[str]]:
    """Open the page; the list collects what the browser complains about."""
    page = browser.new_page(viewport={"width": 390 if phone else 1280, "height": 844})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.url)
    return page, complaints


@pytest.mark.parametrize("phone", [False, True])
def test_a_client_is_watched_from_its_menu_to_its_health(chromium: Browser, server: Serving, phone: bool) -> None:
    """Without a reload. What a client says of itself is text and nothing else."""
    page, complaints = visit(chromium, server, phone=phone)
    expect(page.get_by_role("row", name="thin 1.1")).to_contain_text("1.0")
    expect(page.get_by_text("Nobody was seen yet")).to_be_visible()
    clients = server.desk.clients
    clients.saw(time.time(), mac=MAC, address="10.0.0.5", name="desk-1", stage=Stage.ROOT, image="thin", version="1.1")
    clients.saw(time.time(), mac=MAC, sent=40, size=100)
    row = page.locator(f'tr[data-mac="{MAC}"]')
    expect(row).to_contain_text("loads the root")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "40")
    clients.saw(
        time.time(), mac=MAC, stage=Stage.RUNNING, hostname="<img src=x onerror=alert(1)>", running_image="thin",
        running_version="1.0", health="healthy",
    )  # fmt: skip
    clients.saw(time.time(), mac="52:54:00:aa:00:02", stage=Stage.RUNNING, hostname="<script>alert(1)</script>")
    expect(row).to_contain_text("not what it would boot now")
    expect(row).to_contain_text("healthy")
    expect(row.get_by_role("link", name="10.0.0.5")).to_have_attribute("href", "http://10.0.0.5/")
    expect(page.get_by_text("<script>alert(1)</script>")).to_be_visible()
    page.screenshot(path=OUTPUT / f"serve-{'phone' if phone else 'desktop'}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert complaints == []
    page.close()
