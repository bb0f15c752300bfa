"""Services, logs and graphs as people see and use them."""

import dataclasses
import math
import re
import socket
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ovenbird_device.facts.overview import Places, Reader
from ovenbird_device.web.app import Site, build
from ovenbird_device.web.settings import Settings

from .conftest import OUTPUT, PASSWORD, Device
from .test_overview import CONTRAST, SIZES, sign_in

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]
HELLO = "app-hello.service"


def visit(
    browser: Browser,
    device: Device,
    path: str,
    *,
    size: str = "desktop",
    scheme: Scheme = "light",
    script: bool = True,
    signed_in: bool = True,
) -> tuple[BrowserContext, Page, list[str]]:
    """Open a page, signed in or not; the list collects everything that the browser complains about."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    if signed_in:
        page.goto(f"{device.url}/login?next={path}")
        sign_in(page)
        page.wait_for_url(f"{device.url}{path}")
    else:
        page.goto(device.url + path)
    return context, page, complaints


def say(device: Device, *texts: str, level: int = 6) -> None:
    device.journal.say(HELLO, *texts, level=level, source="hello")
    device.journal.wait(HELLO, texts[-1])


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_looks(chromium: Browser, device: Device, size: str, scheme: Scheme) -> None:
    say(device, *(f"GET /page/{number} 200 in {number % 7} ms" for number in range(60)))
    say(device, "the sensor does not answer", level=4)
    say(device, 'Traceback (most recent call last):\n  File "app.py", line 7, in read\nValueError: no number', level=3)
    context, page, complaints = visit(chromium, device, "/services", size=size, scheme=scheme)
    expect(page.get_by_text("crash does not stay up.")).to_be_visible()
    expect(page.locator(".app", has_text="hello")).to_contain_text("Traceback")
    page.screenshot(path=OUTPUT / f"services-{size}-{scheme}.png", full_page=True)
    assert fits(page)
    poor = list(page.evaluate(CONTRAST))
    page.get_by_role("link", name="units too").click()
    expect(page.get_by_role("link", name="ssh")).to_be_visible()
    page.screenshot(path=OUTPUT / f"services-all-{size}-{scheme}.png", full_page=True)
    assert fits(page)
    page.get_by_role("link", name="hello").click()
    expect(page.get_by_text("the sensor does not answer")).to_be_visible()
    page.screenshot(path=OUTPUT / f"service-{size}-{scheme}.png", full_page=True)
    assert fits(page)
    poor += page.evaluate(CONTRAST)
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.get_by_role("heading", name="Journal")).to_be_visible()
    page.screenshot(path=OUTPUT / f"logs-{size}-{scheme}.png", full_page=True)
    assert fits(page)
    poor += page.evaluate(CONTRAST)
    assert poor == []
    assert complaints == []
    context.close()


def test_the_log_lives(chromium: Browser, device: Device) -> None:
    say(device, *(f"line {number}" for number in range(450)))
    context, page, complaints = visit(chromium, device, "/services/hello")
    state, lines = page.locator("#log-state"), page.locator("#lines li")
    expect(state).to_have_text("Live")
    expect(lines).to_have_count(200)
    page.locator("#log").evaluate("log => log.scrollIntoView({block: 'end'})")
    say(device, "fresh <b>line</b>")
    expect(page.get_by_text("fresh <b>line</b>")).to_be_in_viewport()
    page.get_by_role("button", name="Pause").click()
    say(device, "while paused", "and another")
    expect(state).to_have_text("Paused; 2 new lines.")
    expect(page.get_by_text("while paused")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("and another")).to_be_in_viewport()
    page.get_by_role("link", name="Older lines").click()
    expect(lines).to_have_count(403)
    page.get_by_role("link", name="Older lines").click()
    expect(lines).to_have_count(453)
    expect(page.get_by_role("link", name="Older lines")).to_have_count(0)
    texts = page.locator("#lines li span").all_inner_texts()
    assert texts[:450] == [f"line {number}" for number in range(450)]
    assert complaints == []
    context.close()


def test_no_line_is_lost_while_the_agent_is_away(chromium: Browser, device: Device) -> None:
    say(device, "before")
    context, page, _ = visit(chromium, device, "/services/hello")
    expect(page.locator("#log-state")).to_have_text("Live")
    say(device, "seen live")
    expect(page.get_by_text("seen live")).to_be_visible()
    device.agent.kill()
    device.agent.wait(10)
    expect(page.locator("#log-state")).to_contain_text("does not answer", timeout=15_000)
    say(device, "while it was away")
    device.start_agent()
    # Sessions end with the agent, so the browser's own attempt to go on is refused.
    expect(page.locator("#log-state")).to_have_text("Not live: reload the page.", timeout=20_000)
    page.reload()
    page.get_by_role("link", name="Sign in to read it").click()
    sign_in(page)
    expect(page.get_by_text("while it was away")).to_be_visible()
    context.close()


def test_filter_and_reading_without_script(chromium: Browser, device: Device) -> None:
    say(device, "an apple", "a pear")
    say(device, "a rotten apple", level=3)
    context, page, complaints = visit(chromium, device, "/services/hello", script=False)
    lines = page.locator("#lines li")
    expect(lines).to_have_count(3)
    page.get_by_label("with").fill("APPLE")
    page.get_by_role("button", name="Filter").click()
    expect(lines).to_have_count(2)
    page.get_by_label("Show").select_option("errors")
    page.get_by_role("button", name="Filter").click()
    expect(lines).to_have_count(1)
    expect(page.get_by_label("with")).to_have_value("APPLE")
    page.get_by_label("with").fill("banana")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Nothing yet that fits.")).to_be_visible()
    assert complaints == []
    context.close()


def test_start_and_stop(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, "/services/hello", signed_in=False)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.get_by_role("link", name="Sign in to read it").click()
    sign_in(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".figures .state")).to_have_text("stopped")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".figures .state")).to_have_text("running")
    page.get_by_role("button", name="Restart").click()
    plain = "--no-block --no-ask-password"
    assert re.findall(rf"{plain} ([a-z-]+) -- {HELLO}", device.orders()) == [
        "stop",
        "reset-failed",
        "start",
        "reset-failed",
        "restart",
    ]
    assert complaints == []
    context.close()


@pytest.fixture
def twelve_hours(device: Device) -> Iterator[str]:
    """The URL of the real site in this process, whose history somebody has made up."""
    places = Places(
        image=device.folder / "image.json", boot_note=device.folder / "run/ovenbird/boot", data=device.folder
    )
    settings = Settings(state=device.folder / "state", places=places)
    site = Site(settings, Reader(places))
    site.machine.sampler.take()
    total = site.machine.sampler.memory_total
    for number in range(1300):
        hour = number / 120
        burst = 0.5 if 400 < number % 700 < 460 else 0.0
        site.machine.sampler.rings.add(
            {
                "cpu": 0.12 + 0.08 * math.sin(hour * 2) + 0.03 * math.sin(number * 1.7) + burst,
                "memory": total * (0.3 + 0.02 * hour),
                "temperature": 48 + 5 * math.sin(hour) + 20 * burst,
                "disk_read": 40_000 + 3_000_000 * burst,
                "disk_write": 90_000 + 30_000 * math.sin(hour * 3),
                "net_in": None if 900 < number < 1000 else 200_000 + 150_000 * math.sin(hour),
                "net_out": None if 900 < number < 1000 else 60_000 + 4_000_000 * burst,
            }
        )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(build(site, settings), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_graphs(chromium: Browser, device: Device, twelve_hours: str, size: str, scheme: Scheme) -> None:
    """Twelve made-up hours, drawn, and read out under the pointer."""
    served = dataclasses.replace(device, port=int(twelve_hours.rpartition(":")[2]))
    context, page, complaints = visit(chromium, served, "/", size=size, scheme=scheme, signed_in=False)
    expect(page.get_by_role("heading", name="The last 12 hours")).to_be_visible()
    memory = page.locator(".chart", has_text="Memory").locator("output")
    newest = memory.inner_text()
    page.screenshot(path=OUTPUT / f"overview-graphs-{size}-{scheme}.png", full_page=True)
    assert fits(page)
    page.locator(".chart", has_text="Processor").locator(".plot").hover()
    expect(page.get_by_text("6 h 0 min ago")).to_be_visible()
    assert memory.inner_text() != newest
    page.mouse.move(0, 0)
    expect(memory).to_have_text(newest)
    page.goto(f"{served.url}/history")
    assert page.evaluate(CONTRAST) == []
    assert complaints == []
    context.close()


def test_graphs_of_a_young_device(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, "/history", script=False, signed_in=False)
    expect(page.get_by_role("heading", name="The last half hour")).to_be_visible()
    expect(page.get_by_text("nothing yet").first).to_be_visible()
    assert complaints == []
    context.close()


def test_the_password(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, "/")
    page.get_by_role("link", name="Change password…").click()
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("much better now")
    page.get_by_label("New password again").fill("much better then")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("alert")).to_contain_text("not typed the same twice")
    page.screenshot(path=OUTPUT / "password-desktop-light.png")
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("much better now")
    page.get_by_label("New password again").fill("much better now")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", name="The password is changed.")).to_be_visible()
    page.goto(device.url)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert [text for text in complaints if "400" not in text] == []
    context.close()
