"""The page's console on a real device: keys, a shell, the network, the support bundle, and in the end a factory reset.

The tests share one machine, in this order. It is the one of `test_apps.py`, for the sake of what it has to show.
"""

from __future__ import annotations

import io
import re
import subprocess
import urllib.request
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from ovenbird_device.terminal.frames import Size
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.terminal import PROTOCOL, Page
from tests.tool import OUTPUT
from tests.vm.apps import properties
from tests.vm.guest import PATIENCE, Guest, authorization, guest, wait

pytestmark = [pytest.mark.vm, pytest.mark.browser]

PASSWORD = "tobak-mirun-depol"
UNDO = 60.0  # seconds that a change of the network waits to be kept


@pytest.fixture(scope="module")
def device(apps: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device after its first boot."""
    with guest(apps, tmp_path_factory.mktemp("console"), password=PASSWORD, key=key) as found:
        yield found


def post(device: Guest, path: str, **form: str) -> Any:  # noqa: ANN401  # The device's JSON.
    """Change something; it must be taken."""
    answer = device.ask("POST", path, PASSWORD, form=form)
    assert answer.status in (200, 202), answer
    return answer.json()


def test_a_key_opens_an_account_until_it_is_taken_away(device: Guest, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "new", "-f", tmp_path / "new"], check=True)
    stranger = Guest(device.machine, device.disk, PASSWORD, tmp_path / "new")
    assert stranger.ssh("true").returncode == 255
    told = post(device, "/users/admin/keys", key=(tmp_path / "new.pub").read_text())
    (admin,) = [one for one in told["users"] if one["name"] == "admin"]
    (given,) = [one for one in admin["keys"] if one["comment"] == "new"]
    assert given["source"] == "device"
    assert stranger.run("id -un") == "root"
    post(device, "/users/admin/keys/remove", fingerprint=given["fingerprint"])
    assert stranger.ssh("true").returncode == 255
    assert device.run("id -un") == "root", "the image's own key is not touched"


def shells(device: Guest) -> list[str]:
    """The terminals' units that systemd knows."""
    return device.run("systemctl list-units --all --plain --no-legend 'ovenbird-terminal@*'").split("\n")


def test_a_shell_on_the_page_and_nothing_of_it_afterwards(device: Guest) -> None:
    """As the user whom the recipe names, in a unit of its own, which takes along what has left the shell's session."""
    assert device.ask("POST", "/terminal", "wrong one").status == 401
    answer = device.ask("POST", "/terminal", device.password)
    assert answer.status == 200, answer
    page = Page(device.machine.port(80), PROTOCOL, answer.json()["ticket"])
    assert page.accepted is True
    page.send(Size(100, 30))
    page.type("echo i am-$(id -un) in-$(pwd) $(stty size) $0; sudo -n echo can-$((6*7))\r")
    page.until(r"i am-admin in-/home/admin 30 100 -bash")
    page.until(r"can-42")
    page.type("setsid -f sleep 4321; sudo -n setsid -f sleep 4322; cat /proc/self/cgroup; echo all-$((6*7))\r")
    page.until(r"/ovenbird-terminal@[^/]+\.service")
    page.until(r"all-42")
    [unit] = [line.split()[0] for line in shells(device)]
    assert properties(device, unit, "User", "ActiveState") == {"User": "admin", "ActiveState": "active"}
    assert device.run("pgrep -c -f 'sleep 432[12]$'") == "2"
    knock = "import socket; socket.socket(1, 5).connect('/run/ovenbird/terminal.sock')"
    assert "PermissionError" in device.run(f'setpriv --reuid ovenbird --clear-groups python3 -c "{knock}" 2>&1 || true')
    page.cut()
    wait(lambda: not any(shells(device)), PATIENCE, 1.0)
    assert device.run("pgrep -c -f 'sleep 432[12]$' || true") == "0"
    wait(lambda: device.run("ls /run/ovenbird/terminals") == "" or None, PATIENCE, 1.0)

    def told() -> list[tuple[str, bool]]:
        changes = device.ask("GET", "/changes?count=2", device.password).json()["changes"]
        return [(one["action"], one["done"]) for one in changes]

    wait(lambda: told() == [("terminal-end", True), ("terminal", True)] or None, PATIENCE, 1.0)


def link(device: Guest) -> Any:  # noqa: ANN401  # The device's JSON.
    """The interface that the device is reached by."""
    network = device.ask("GET", "/network", PASSWORD).json()["network"]
    (found,) = [one for one in network["links"] if any(at["address"] == "10.0.2.15" for at in one["addresses"])]
    return found


def test_settings_of_the_network_that_are_kept(device: Guest) -> None:
    name = link(device)["name"]
    waiting = post(device, f"/network/{name}", mode="dhcp", dns="10.0.2.77")
    wait(lambda: "10.0.2.77" in device.run(f"resolvectl dns {name}") or None, PATIENCE)
    wait(lambda: device.ask("GET", "/network").status == 200, PATIENCE)
    post(device, "/network/keep", id=waiting["id"])
    assert link(device)["settings"]["dns"] == ["10.0.2.77"]
    assert device.ask("GET", "/network", PASSWORD).json()["waiting"] is None
    assert device.ask("POST", "/network/undo", PASSWORD).status == 409, "nothing waits any more"
    waiting = post(device, f"/network/{name}", mode="image")
    wait(lambda: "10.0.2.77" not in device.run(f"resolvectl dns {name}") or None, PATIENCE)
    post(device, "/network/keep", id=waiting["id"])
    assert link(device)["settings"] is None


def test_settings_that_cut_the_device_off_are_undone(device: Guest) -> None:
    name = link(device)["name"]
    waiting = post(device, f"/network/{name}", mode="fixed", addresses="10.9.9.9/24")
    assert 0 < waiting["remaining_s"] <= UNDO

    def silent() -> bool:
        try:
            return device.ask("GET", "/status", timeout=3).status != 200
        except OSError:
            return True

    wait(lambda: silent() or None, PATIENCE)
    wait(lambda: None if silent() else True, UNDO + PATIENCE, 2.0)
    assert link(device)["settings"] is None
    assert device.ask("GET", "/network", PASSWORD).json()["waiting"] is None
    assert device.run("ls /etc/systemd/network /run/systemd/network | grep -c 10.9.9.9 || true") == "0"


def test_the_support_bundle_tells_much_and_no_secret(device: Guest) -> None:
    secrets = [
        device.run("cat /data/ovenbird/password.json"),
        device.run("cat /etc/ssh/ssh_host_ed25519_key"),
    ]
    request = urllib.request.Request(f"{device.url}support.zip", headers=authorization(PASSWORD))
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # The guest's own address.
        content = answer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        assert bundle.testzip() is None
        texts = {name: bundle.read(name).decode(errors="replace") for name in bundle.namelist()}
    assert any("Linux version" in text for text in texts.values()), sorted(texts)
    assert any("app-page.service" in text for text in texts.values())
    words = {word for secret in secrets for word in re.findall(r"[\w+/=$.-]{24,}", secret)} | {PASSWORD}
    assert len(words) > 5
    assert not {word for word in words for text in texts.values() if word in text}


@pytest.fixture(scope="module")
def pages() -> tuple[str, ...]:
    """Every page that a menu leads to."""
    return ("", "services", "logs", "update", "slots", "health", "network", "storage", "users", "changes", "support")


def test_every_page_in_a_browser(device: Guest, pages: tuple[str, ...]) -> None:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, width in (("desktop", 1280), ("phone", 390)):
            context = browser.new_context(viewport={"width": width, "height": 800})
            context.set_default_timeout(PATIENCE * 1000)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{device.url}login?next=/")
            page.get_by_label("Device password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="apps", exact=True)).to_be_visible()
            for path in pages:
                response = page.goto(f"{device.url}{path}")
                assert response is not None
                assert response.status == 200, path
                assert page.locator("h1").count() == 1, path
                page.screenshot(path=OUTPUT / f"vm-console-{path or 'overview'}-{name}.png", full_page=True)
            context.close()
        browser.close()
    assert complaints == []


def test_what_was_changed_is_listed(device: Guest) -> None:
    told = device.ask("GET", "/changes", PASSWORD).json()["changes"]
    said = " ".join(one["what"] for one in told)
    assert "key" in said
    assert link(device)["name"] in said
    assert [one["what"] for one in told if not one["done"]] == ["Undo the change of the network"], "when none waited"
    assert any(one["by"] == "root" and "Nobody kept it" in one["message"] for one in told)


def test_a_factory_reset_leaves_the_password_only(device: Guest) -> None:
    page = wait(lambda: device.ask("GET", "/services/page", PASSWORD).json()["state"] == "running" or None, PATIENCE)
    assert page
    before = device.run("touch /data/apps/page/mine /etc/mine; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    refused = device.ask("POST", "/storage/reset", PASSWORD, form={"confirm": "yes"})
    assert refused.status == 400
    post(device, "/storage/reset", confirm="factory reset")
    assert device.wait_for_boot()["etc"] == "fresh"
    after = device.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; ls /etc/mine /data/apps/page/mine || true")
    assert before != after
    assert "mine" not in after
    assert device.ask("GET", "/users", PASSWORD).status == 200
    history = device.ask("GET", "/health/history", PASSWORD).json()
    assert history is not None
