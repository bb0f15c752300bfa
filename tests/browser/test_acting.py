"""What people do on the console's pages: the network, keys, passwords that are wrong, a long list of changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ovenbird_device.steward.changes import Changes

from .conftest import OUTPUT, Device
from .test_console import furnish
from .test_overview import sign_in
from .test_services import fits, visit

pytestmark = pytest.mark.browser


def connected(device: Device) -> Path:
    """A device with interfaces of which none is being changed; returns where a change of eth0 is kept."""
    furnish(device)
    (device.folder / "run/ovenbird/network/pending.json").unlink()
    return device.folder / "networks"


def kept(folder: Path) -> str:
    """What the device keeps of its network."""
    return "".join(path.read_text() for path in sorted(folder.glob("*"))) if folder.is_dir() else ""


def fill(page: Page, addresses: str) -> None:
    page.get_by_label("Fixed, as follows").check()
    page.get_by_label("Addresses").fill(addresses)
    page.get_by_label("Gateway").fill("10.9.9.1")
    page.get_by_role("button", name="Try it").click()


@pytest.mark.parametrize("script", [True, False])
def test_a_change_of_the_network_is_kept_or_undone(chromium: Browser, device: Device, script: bool) -> None:
    folder = connected(device)
    context, page, complaints = visit(chromium, device, "/network", script=script)
    eth0 = page.get_by_role("region", name="eth0")
    eth0.get_by_role("link", name="Change…").click()
    expect(page.get_by_text("undone after 60 seconds unless you keep it")).to_be_visible()
    fill(page, "10.9.9.300/24")
    expect(page.get_by_role("alert")).to_contain_text("10.9.9.300")
    expect(page.get_by_label("Addresses")).to_have_value("10.9.9.300/24")
    fill(page, "10.9.9.9/24")
    waiting = page.get_by_role("region", name="eth0: 10.9.9.9/24; gateway 10.9.9.1")
    expect(waiting.get_by_role("timer")).to_contain_text("undone in")
    expect(waiting.get_by_role("link", name="10.9.9.9")).to_be_visible()
    page.screenshot(path=OUTPUT / f"network-waiting-{'script' if script else 'plain'}.png", full_page=True)
    assert "10.9.9.9" not in kept(folder)
    page.get_by_role("button", name="Undo it now").click()
    expect(waiting).to_have_count(0)
    expect(eth0.get_by_text("as the image has it")).to_be_visible()
    eth0.get_by_role("link", name="Change…").click()
    fill(page, "10.9.9.9/24")
    page.get_by_role("button", name="Keep it").click()
    expect(waiting).to_have_count(0)
    expect(eth0.get_by_text("10.9.9.9/24; gateway 10.9.9.1")).to_be_visible()
    assert "Address=10.9.9.9/24" in kept(folder)
    page.goto(f"{device.url}/changes")
    expect(page.get_by_text("Set eth0 to 10.9.9.9/24 through 10.9.9.1").first).to_be_visible()
    assert [text for text in complaints if "400" not in text] == []
    context.close()


def test_what_waits_counts_down_and_goes_by_itself(chromium: Browser, device: Device) -> None:
    connected(device)
    context, page, _ = visit(chromium, device, "/network/eth0")
    fill(page, "10.9.9.9/24")
    timer = page.get_by_role("timer")
    first = timer.inner_text()
    expect(timer).not_to_have_text(first, timeout=15_000)
    (device.folder / "run/ovenbird/network/pending.json").unlink()  # what the undoing does at its end
    expect(timer).to_have_count(0, timeout=15_000)
    context.close()


@pytest.mark.parametrize("script", [True, False])
def test_keys_are_given_and_taken(chromium: Browser, device: Device, tmp_path: Path, script: bool) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@home", "-f", tmp_path / "key"], check=True)
    context, page, complaints = visit(chromium, device, "/users", script=script, size="phone")
    expect(page.get_by_text("No key opens this device yet.")).to_be_visible()
    admin = page.get_by_role("region", name="admin")
    admin.get_by_label("Give admin a key").fill("ssh-ed25519 nonsense")
    admin.get_by_role("button", name="Add the key").click()
    expect(admin.get_by_role("alert")).to_be_visible()
    expect(admin.get_by_label("Give admin a key")).to_have_value("ssh-ed25519 nonsense")
    assert fits(page)
    page.screenshot(path=OUTPUT / f"users-refused-{'script' if script else 'plain'}.png", full_page=True)
    admin.get_by_label("Give admin a key").fill((tmp_path / "key.pub").read_text())
    admin.get_by_role("button", name="Add the key").click()
    expect(page.get_by_text("1 key opens this device by SSH.")).to_be_visible()
    expect(admin.get_by_text("me@home")).to_be_visible()
    assert fits(page)
    page.screenshot(path=OUTPUT / f"users-given-{'script' if script else 'plain'}.png", full_page=True)
    assert "me@home" in (device.folder / "users/admin.keys").read_text()
    admin.get_by_role("button", name="Remove me@home").click()
    expect(page.get_by_text("No key opens this device yet.")).to_be_visible()
    assert [text for text in complaints if "400" not in text] == []
    context.close()


def test_guessing_is_made_to_wait(chromium: Browser, device: Device) -> None:
    context, page, _ = visit(chromium, device, "/login", signed_in=False, size="phone")
    waits = page.get_by_text("Too many attempts. Try again in")
    for _ in range(12):
        page.get_by_label("Device password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        if waits.count():
            break
    expect(waits).to_be_visible()
    expect(page.get_by_label("Device password")).to_be_focused()
    assert fits(page)
    page.screenshot(path=OUTPUT / "login-wait-phone.png")

    def signed_in() -> bool:
        sign_in(page)
        page.wait_for_load_state()
        return page.get_by_role("button", name="Sign out").count() == 1

    for _ in range(60):
        if signed_in():
            break
        page.wait_for_timeout(1000)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    context.close()


def test_older_changes_are_one_link_away(chromium: Browser, device: Device) -> None:
    made = Changes(device.folder / "state")
    for number in range(150):
        made.note("192.168.1.5", "control", f"Restart app-{number}", done=True)
    context, page, complaints = visit(chromium, device, "/changes", script=False)
    rows = page.locator("tbody tr")
    assert rows.count() < 150
    expect(rows.first).to_contain_text("app-149")
    page.get_by_role("link", name="Show older ones").click()
    expect(rows).to_have_count(150)
    expect(page.get_by_role("link", name="Show older ones")).to_have_count(0)
    assert complaints == []
    context.close()


def test_the_password_is_changed_without_javascript(chromium: Browser, device: Device) -> None:
    context, page, complaints = visit(chromium, device, "/password", script=False, size="phone")
    page.screenshot(path=OUTPUT / "password-phone.png", full_page=True)
    page.get_by_label("Old password").fill("not this one")
    page.get_by_label("New password", exact=True).fill("much better now")
    page.get_by_label("New password again").fill("much better now")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert fits(page)
    assert [text for text in complaints if "40" not in text] == []
    context.close()


def test_the_support_bundle_needs_no_javascript(chromium: Browser, device: Device) -> None:
    context, page, _ = visit(chromium, device, "/support", script=False)
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()
    assert begun.value.suggested_filename.endswith(".zip")
    assert Path(begun.value.path()).read_bytes()[:2] == b"PK"
    context.close()
