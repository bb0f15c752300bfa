"""Updates in a real Chromium, against the real agent and the real steward on a disk in a file.

What needs a machine (the restart, what health says of a trial) is played by the test; see `tests/lab.py`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.lab import MIB, PASSWORD, Cutting, Lab, Maker, lab, wait_for

from .conftest import OUTPUT
from .test_overview import CONTRAST, SIZES, sign_in
from .tree import troubles

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]
LOOKS = [("phone", "light"), ("phone", "dark"), ("desktop", "light"), ("desktop", "dark")]
SLOW = 20_000  # milliseconds


@pytest.fixture
def nest(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A fresh device that runs 1.0.0 from slot a."""
    with lab(tmp_path / "device", maker) as running:
        yield running


@contextmanager
def visit(
    browser: Browser,
    device: Lab,
    path: str = "/update",
    *,
    script: bool = True,
    signed_in: bool = True,
    port: int | None = None,
) -> Generator[tuple[Page, list[str]]]:
    """Open a page, signed in; the list collects everything that the browser complains about."""
    width, height = SIZES["desktop"]
    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=script)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    url = f"http://127.0.0.1:{port or device.port}"
    page.goto(f"{url}/login?next={path}" if signed_in else url + path)
    if signed_in:
        sign_in(page)
        page.wait_for_url(f"**{path}")
    yield page, complaints
    context.close()


def shoot(page: Page, name: str) -> None:
    """Screenshots of how it looks everywhere; each must fit its screen and be readable."""
    for size, scheme in LOOKS:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=OUTPUT / f"update-{name}-{size}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than a {size}"
        assert page.evaluate(CONTRAST) == [], f"{name} by {scheme}"
    width, height = SIZES["desktop"]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="light")


def send(page: Page, bundle: Path) -> None:
    """Choose a file and send it."""
    page.get_by_label("Bundle, a .swu file").set_input_files(bundle)
    page.get_by_role("button", name="Update").click()


def test_upload_trial_and_commit(chromium: Browser, nest: Lab, maker: Maker) -> None:
    with visit(chromium, nest, "/update") as (page, complaints):
        expect(page.get_by_text("Slot a runs version 1.0.0.")).to_be_visible()
        shoot(page, "idle")
        send(page, maker.bundle("1.1.0", size=40 * MIB))
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible(timeout=SLOW)
        expect(page.locator("#send")).to_be_hidden()
        shoot(page, "restarting")
        nest.ordered_restart()
        nest.restart()
        nest.health("checking", ("agent", "ok", ""), ("network", "waiting", ""), ("web", "failing", "no answer yet"))
        expect(page.get_by_role("heading", name="On trial")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("1 of 3 checks hold")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text(re.compile(r"1 min \d+ s left|2 min 0 s left"))).to_be_visible()
        shoot(page, "trial")
        nest.health("checking", ("agent", "ok", ""), ("network", "ok", ""), ("web", "ok", "200"))
        expect(page.get_by_text("3 of 3 checks hold")).to_be_visible(timeout=SLOW)
        nest.commit()
        expect(page.get_by_role("heading", name="Version 1.1.0 is committed")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("Slot b runs version 1.1.0.")).to_be_visible()
        shoot(page, "committed")
        away = ("ERR_CONNECTION", "htmx:")  # while the device restarts
        assert [text for text in complaints if not any(word in text for word in away)] == []


def test_rollback_with_its_reason(chromium: Browser, nest: Lab, maker: Maker) -> None:
    with visit(chromium, nest) as (page, _):
        send(page, maker.bundle("1.1.0"))
        nest.ordered_restart()
        nest.restart()
        reason = "web: connection refused"
        nest.health("rolling-back", ("agent", "ok", ""), ("web", "failing", "connection refused"), reason=reason)
        expect(page.get_by_role("heading", name="Going back")).to_be_visible(timeout=SLOW)
        shoot(page, "going-back")
        nest.give_up(reason, b"[   12.0] httpd: address in use\n")
        nest.restart()
        expect(page.get_by_role("heading", name="Version 1.1.0 was rolled back")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text(reason)).to_be_visible()
        shoot(page, "rolled-back")
        page.get_by_role("link", name="The log of the failed trial").click()
        expect(page.get_by_text("httpd: address in use")).to_be_visible()
        page.goto(nest.url + "/update")
        expect(page.get_by_role("link", name="Sign in to update")).to_be_visible()


def test_a_refusal_is_said_beside_the_button(chromium: Browser, nest: Lab, maker: Maker) -> None:
    with visit(chromium, nest) as (page, _):
        send(page, maker.bundle("1.1.0", stranger=True))
        expect(page.get_by_role("alert")).to_contain_text("signed by a stranger", timeout=SLOW)
        shoot(page, "refused")
        send(page, maker.bundle("0.9.0"))
        expect(page.get_by_role("alert")).to_contain_text("older than 1.0.0", timeout=SLOW)
        page.get_by_label("Also take an older version").check()
        page.get_by_role("button", name="Update").click()
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible(timeout=SLOW)


def test_an_upload_that_is_cut_goes_on_by_itself(chromium: Browser, nest: Lab, maker: Maker) -> None:
    slow = Cutting(nest.port, [12 * MIB, 5 * MIB], rate=8 * MIB)
    with slow as network, visit(chromium, nest, port=network.port) as (page, _):
        send(page, maker.bundle("1.1.0", size=40 * MIB))
        expect(page.get_by_role("heading", name="Updating")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text(re.compile(r"MiB received"))).to_be_visible(timeout=SLOW)
        shoot(page, "uploading")
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible(timeout=2 * SLOW)
        # After a cut, Chromium sends a request of a connection that it had used before again by itself, from its
        # beginning; our script goes on at the offset. Either way nobody has to do anything.
        assert network.cuts == []


def test_an_upload_from_another_page_can_be_continued(chromium: Browser, nest: Lab, maker: Maker) -> None:
    """The agent is killed in the middle of the upload, and comes back: the steward has waited."""
    bundle = maker.bundle("1.1.0", size=40 * MIB)
    with Cutting(nest.port, [], rate=4 * MIB) as slow, visit(chromium, nest, port=slow.port) as (page, _):
        send(page, bundle)
        expect(page.get_by_text(re.compile(r"MiB received"))).to_be_visible(timeout=SLOW)
        assert nest.agent
        nest.agent.kill()
        nest.agent.wait(10)
    nest.start_agent()
    with visit(chromium, nest) as (page, _):
        expect(page.get_by_role("heading", name="Interrupted")).to_be_visible(timeout=SLOW)
        shoot(page, "paused")
        send(page, bundle)
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible(timeout=SLOW)
        with nest.client() as client:
            events = client.get(f"/jobs/{client.get('/update').json()['job']['id']}").json()["events"]
        assert "resumed" in [event["state"] for event in events]


def test_reading_and_sending_need_no_script(chromium: Browser, nest: Lab, maker: Maker) -> None:
    with visit(chromium, nest, script=False) as (page, complaints):
        page.get_by_label("Let me commit by hand").check()
        send(page, maker.bundle("1.1.0"))
        expect(page.get_by_role("heading", name="Restarting")).to_be_visible(timeout=SLOW)
        nest.ordered_restart()
        nest.restart()
        nest.health("waiting", ("agent", "ok", ""))
        page.goto(nest.url + "/update")
        expect(page.get_by_text("It waits for you to commit it.")).to_be_visible()
        page.goto(f"{nest.url}/login?next=/slots")
        sign_in(page)
        expect(page.get_by_role("heading", name="Slots")).to_be_visible()
        shoot(page, "slots")
        page.get_by_role("button", name="Commit slot b").click()
        expect(page.get_by_text("Running from slot b.")).to_be_visible()
        assert nest.selector().active == "b"
        assert complaints == []


def test_another_site_can_neither_send_nor_decide(chromium: Browser, nest: Lab, tmp_path: Path) -> None:
    with visit(chromium, nest) as (page, _):
        hostile = tmp_path / "hostile.html"
        hostile.write_text(
            f'<form method="post" action="{nest.url}/slots/rollback"><button>Win a prize</button></form>'
        )
        page.goto(hostile.as_uri())
        page.get_by_role("button", name="Win a prize").click()
        expect(page.get_by_text("That request came from another site.")).to_be_visible()
        page.goto(hostile.as_uri())
        post = "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x'}).catch(() => {})"
        page.evaluate(post, f"{nest.url}/update")
        with nest.client() as client:
            assert client.get("/update").json()["job"] is None


def test_a_visitor_reads_but_cannot_send(chromium: Browser, nest: Lab) -> None:
    with visit(chromium, nest, signed_in=False) as (page, complaints):
        expect(page.get_by_text("Slot a runs version 1.0.0.")).to_be_visible()
        assert page.locator("form#upload").count() == 0
        page.get_by_role("link", name="Sign in to update").click()
        page.get_by_label("Device password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Update")).to_be_visible()
        assert complaints == []


def test_both_slots(chromium: Browser, nest: Lab, maker: Maker) -> None:
    with nest.client() as client:
        client.post("/update?reboot=0", content=maker.bundle("1.1.0").read_bytes())
    nest.restart()
    nest.health("checking", ("agent", "ok", "answers"), ("web", "failing", "no answer"))
    with visit(chromium, nest, "/slots", signed_in=False, script=False) as (page, _):
        expect(page.get_by_role("region", name="Slot b")).to_contain_text("1.1.0")
        expect(page.get_by_role("button")).to_have_count(0)
    with visit(chromium, nest, "/slots") as (page, complaints):
        assert troubles(page) == []
        shoot(page, "slots")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("button", name=re.compile("commit", re.IGNORECASE)).click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        wait_for(lambda: nest.selector().active == "b")
        assert complaints == []
    with visit(chromium, nest, "/update") as (page, _):
        assert troubles(page) == []
