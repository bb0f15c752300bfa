"""Changes of the network, with the real agent, the real steward and the real undoing; systemd is played by scripts.

The real networkd reads such files in test_networkd.py.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.unit.device import conftest as device
from tests.unit.services.test_http import BASIC, HTML, sign_in

import ovenbird_device
from ovenbird_device.facts import network as facts
from ovenbird_device.network import trial
from ovenbird_device.slots import files

UNITS = Path(ovenbird_device.__file__).parent / "units"
FIXED = {"mode": "fixed", "addresses": "10.9.9.9/24", "gateways": "10.9.9.1", "dns": "10.9.9.1"}
SCRIPT = """#!/bin/sh
echo "$(basename "$0") $*" >> @FOLDER@/orders
ls @FOLDER@/active >> @FOLDER@/seen 2>/dev/null
[ ! -e @FOLDER@/broken ] || { echo "it is broken" >&2; exit 1; }
case "$*" in *--json*) cat @FOLDER@/said 2>/dev/null ;; esac
exit 0
"""


@dataclass
class Networked:
    """A device with two interfaces, one of which can be set."""

    device: device.Device
    steward: subprocess.Popen[bytes]
    places: trial.Places

    @property
    def folder(self) -> Path:
        return self.device.folder

    @property
    def orders(self) -> list[str]:
        file = self.folder / "orders"
        return [one for one in file.read_text().splitlines() if "--json" not in one] if file.exists() else []

    @property
    def active(self) -> str:
        file = self.places.active_file("eth0")
        return file.read_text() if file.exists() else ""

    @property
    def kept(self) -> str:
        file = self.places.kept_file("eth0")
        return file.read_text() if file.exists() else ""

    def in_force(self, text: str) -> None:
        """Wait until what is in force has the text, and networkd has been told."""
        device.wait_for(lambda: text in self.active and "networkctl reload" in self.orders)

    def pass_time(self) -> None:
        """Let the minute be over, as far as the device can tell."""
        change = files.load(self.places.note, trial.Pending)
        assert change is not None
        files.save(self.places.note, msgspec.structs.replace(change, deadline_s=time.monotonic() - 0.1))

    def timer(self) -> subprocess.CompletedProcess[str]:
        """What the timer starts."""
        words = [sys.executable, "-P", "-s", "-m", "ovenbird_device.network", "--state", str(self.folder / "state")]
        for name in ("kept", "active", "note", "image"):
            words += [f"--{name}", str(getattr(self.places, name))]
        return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def networked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Networked]:
    """A device of the test's own."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("systemctl", "networkctl"):
        (tools / name).write_text(SCRIPT.replace("@FOLDER@", shlex.quote(str(tmp_path))))
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    for name, hardware in (("eth0", True), ("lo", False), ("podman0", False)):
        folder = tmp_path / "sys/class/net" / name
        (folder / "statistics").mkdir(parents=True)
        texts = {"type": "772" if name == "lo" else "1", "address": "02:00:00:00:00:01", "operstate": "up"}
        texts |= {"mtu": "1500", "statistics/rx_bytes": "2048", "statistics/tx_bytes": "1024", "speed": "1000"}
        for file, text in texts.items():
            (folder / file).write_text(f"{text}\n")
        if hardware:
            (folder / "device").mkdir()
    places = trial.Places(
        kept=tmp_path / "etc",
        active=tmp_path / "active",
        note=tmp_path / "run/ovenbird/network/pending.json",
        image=tmp_path / "80-ovenbird.network",
        system=tmp_path / "sys",
    )
    places.image.write_text("[Network]\nDHCP=yes\nMulticastDNS=yes\n")
    running = device.start(tmp_path, "--system", str(tmp_path / "sys"), "--networks", str(places.kept))
    path = tmp_path / "run/ovenbird/steward.sock"
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
    command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--state", str(tmp_path / "state")]
    command += ["--system", str(tmp_path / "sys")]
    for name in ("kept", "active", "note", "image"):
        command += [f"--network-{name}", str(getattr(places, name))]
    steward = subprocess.Popen(command)
    device.wait_for(lambda: device.listens(path))
    yield Networked(running, steward, places)
    device.stop(running)
    steward.terminate()
    steward.wait(10)


def test_what_is_told(networked: Networked) -> None:
    said = '{"Interfaces":[{"Name":"eth0","AdministrativeState":"configured","NetworkFile":"/x","More":[1]}]}'
    (networked.folder / "said").write_text(said)
    (networked.folder / "run/systemd/resolve").mkdir(parents=True)
    (networked.folder / "run/systemd/resolve/resolv.conf").write_text("nameserver 10.0.0.3\nsearch lan\n")
    with networked.device.client() as client:
        found = client.get("/network").json()
        assert found["waiting"] is None
        eth0, podman0 = found["network"]["links"]
        assert (eth0["name"], eth0["kind"], eth0["speed_mbit"], eth0["received"]) == ("eth0", "wired", 1000, 2048)
        assert (eth0["managed"], eth0["changeable"], eth0["settings"]) == ("configured", True, None)
        assert (podman0["kind"], podman0["changeable"]) == ("virtual", False)
        assert (found["network"]["dns"], found["network"]["search"]) == (["10.0.0.3"], ["lan"])
        page = client.get("/network", headers=HTML).text
        assert "1000 Mbit/s" in page
        assert "as the image has it" in page
        (networked.folder / "said").write_text("nonsense")
        assert client.get("/network").json()["network"]["links"][0]["managed"] == ""


def test_a_change_is_kept(networked: Networked) -> None:
    with networked.device.client(auth=BASIC) as client:
        answer = client.post("/network/eth0", data=FIXED)
        assert answer.status_code == 202
        waiting = answer.json()
        assert waiting["settings"]["addresses"] == ["10.9.9.9/24"]
        assert 55 < waiting["remaining_s"] <= 60
        assert networked.orders == ["systemctl restart ovenbird-network-undo.timer"]  # the clock runs before anything
        assert networked.active == ""
        networked.in_force("Address=10.9.9.9/24")
        assert "MulticastDNS=yes" in networked.active
        assert networked.orders[1:] == ["networkctl reload"]
        assert networked.kept == ""
        assert client.post("/network/eth0", data=FIXED).status_code == 409
        assert client.post("/network/keep").json() == {"outcome": "kept"}
        assert networked.kept == networked.active
        assert networked.places.kept_file("eth0").stat().st_mode & 0o777 == 0o644
        assert networked.orders[-1] == "systemctl stop ovenbird-network-undo.timer"
        assert client.get("/network").json()["waiting"] is None
        assert client.get("/network").json()["network"]["links"][0]["settings"]["dns"] == ["10.9.9.1"]
        assert client.post("/network/keep").status_code == 409
        assert networked.timer().stdout == ""
        assert networked.active == networked.kept
        # and back to what the image says, which is a change like any other
        client.post("/network/eth0", data={"mode": "image"})
        device.wait_for(lambda: networked.active == "")
        assert client.post("/network/keep").json() == {"outcome": "kept"}
        assert networked.kept == ""
        told = [one["what"] for one in client.get("/changes").json()["changes"]]
        assert told[-1] == "Set eth0 to 10.9.9.9/24 through 10.9.9.1, name servers 10.9.9.1"
        assert told[:2] == ["Keep the change of the network", "Set eth0 as the image has it"]


def test_a_change_that_nobody_keeps_is_undone_without_agent_and_steward(networked: Networked) -> None:
    networked.places.kept.mkdir()
    networked.places.kept_file("eth0").write_text("# what was kept before\n")
    with networked.device.client(auth=BASIC) as client:
        client.post("/network/eth0", data=FIXED)
        networked.in_force("10.9.9.9")
    for process in (networked.device.process, networked.steward):
        process.kill()
        process.wait(10)
    assert networked.timer().stdout == ""  # too early: that was the timer of another change
    assert "10.9.9.9" in networked.active
    networked.pass_time()
    done = networked.timer()
    assert (done.returncode, "is undone" in done.stdout) == (0, True)
    assert networked.active == "# what was kept before\n"
    assert networked.orders[-1] == "networkctl reload"
    networked.device.restart()
    with networked.device.client(auth=BASIC) as client:
        assert client.get("/network").json()["waiting"] is None
        change = client.get("/changes").json()["changes"][0]
        assert (change["by"], change["what"]) == ("root", "Undo the network of eth0")


def test_the_agent_may_be_restarted_in_between(networked: Networked) -> None:
    with networked.device.client(auth=BASIC) as client:
        client.post("/network/eth0", data=FIXED)
        networked.in_force("10.9.9.9")
        networked.device.process.kill()
        networked.device.process.wait(10)
        networked.device.restart()
        waiting = client.get("/network").json()["waiting"]
        assert waiting["interface"] == "eth0"
        assert client.post("/network/keep").json() == {"outcome": "kept"}
        assert "10.9.9.9" in networked.kept


def test_a_restart_of_the_device_undoes_it(networked: Networked) -> None:
    """What is in force lies in memory; the unit makes it from what is kept, at each boot."""
    networked.places.kept.mkdir()
    networked.places.kept_file("eth1").write_text("# kept\n")
    with networked.device.client(auth=BASIC) as client:
        client.post("/network/eth0", data=FIXED)
        networked.in_force("10.9.9.9")
    for file in networked.places.active.iterdir():
        file.unlink()
    networked.places.active.rmdir()
    line = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", (UNITS / "ovenbird-network.service").read_text(), re.MULTILINE)
    script = line[0].replace("$$", "$").replace("/run/systemd/network", str(networked.places.active))
    subprocess.run(["sh", "-ec", script.replace("/etc/ovenbird/network", str(networked.places.kept))], check=True)
    assert [path.name for path in networked.places.active.iterdir()] == ["10-ovenbird-eth1.network"]
    assert networked.places.active_file("eth1").read_text() == "# kept\n"


def test_it_is_undone_by_hand(networked: Networked) -> None:
    with networked.device.client(auth=BASIC) as client:
        assert client.post("/network/undo").status_code == 409
        client.post("/network/eth0", data=FIXED)
        networked.in_force("10.9.9.9")
        assert client.post("/network/undo").json() == {"outcome": "undone"}
        assert networked.active == ""
        assert client.get("/network").json()["waiting"] is None
        assert client.post("/network/eth0", data=FIXED).status_code == 202


def test_who_has_the_link_keeps_it_from_a_new_address(networked: Networked) -> None:
    """A browser at the new address is not signed in there; the link that it followed has the change's id."""
    with networked.device.client(headers=HTML) as client, networked.device.client(headers=HTML) as other:
        own = {"Origin": str(client.base_url)}
        sign_in(client)
        assert client.post("/network/eth0", data=FIXED, headers=own).status_code == 303
        page = client.get("/network").text
        (link,) = re.findall(r'href="http://10\.9\.9\.9:\d+(/network\?keep=[\w-]+)"', page)
        identity = link.partition("=")[2]
        stranger = other.get("/network").text
        assert "Sign in to keep it" in stranger
        assert identity not in stranger
        assert identity not in other.get("/network", headers={"Accept": "application/json"}).text
        assert other.post("/network/keep", data={"id": "x"}, headers=own).status_code == 303
        assert other.post("/network/keep", data={"id": identity}, headers={"Origin": "http://evil"}).status_code == 403
        networked.in_force("10.9.9.9")
        page = other.get(link).text
        assert f'value="{identity}"' in page
        assert other.post("/network/undo", headers=own).status_code == 303  # to sign in
        assert other.post("/network/keep", data={"id": identity}, headers=own).headers["location"] == "/network"
    assert "10.9.9.9" in networked.kept


def test_what_cannot_be_put_in_force_is_undone_at_once(networked: Networked) -> None:
    with networked.device.client(auth=BASIC) as client:
        client.post("/network/eth0", data=FIXED)
        once = "reload) [ -e @/once ] || { touch @/once; echo 'it is broken' >&2; exit 1; } ;;"
        script = f"#!/bin/sh\ncase $1 in {once} esac\n".replace("@", str(networked.folder))
        (networked.folder / "tools/networkctl").write_text(script)
        device.wait_for(lambda: "could not be set" in client.get("/changes").text)
        assert client.get("/network").json()["waiting"]["trouble"] == "it is broken"
        assert "could not be set: it is broken" in client.get("/network", headers=HTML).text
        assert networked.active == ""
        assert client.post("/network/keep").status_code == 409
        change = client.get("/changes").json()["changes"][1]
        assert (change["by"], change["message"]) == ("root", "It could not be set: it is broken")
        assert client.post("/network/eth0", data=FIXED).status_code == 202  # it does not stand in the way


def test_without_its_clock_nothing_is_changed(networked: Networked) -> None:
    (networked.folder / "broken").touch()
    with networked.device.client(auth=BASIC) as client:
        answer = client.post("/network/eth0", data=FIXED)
        assert (answer.status_code, answer.json()["error"]) == (503, "it is broken")
        assert client.get("/network").json()["waiting"] is None
    assert not networked.places.active.exists()


def test_what_is_refused(networked: Networked) -> None:
    with networked.device.client(auth=BASIC) as client:
        for name in ("lo", "podman0", "eth1", "..", "eth*", "x" * 20):
            assert client.post(f"/network/{name}", data=FIXED).status_code in (404, 405)
        assert client.post("/network/eth0").status_code == 400
        for wrong in ({"mode": "x"}, {"mode": "fixed"}, FIXED | {"addresses": "10.0.0.1/24\nDHCP=yes"}):
            assert client.post("/network/eth0", data=wrong).status_code == 400
        assert client.post("/network/eth0", data=FIXED, auth=("ovenbird", "wrong")).status_code == 401
    with networked.device.client() as client:
        assert client.post("/network/eth0", data=FIXED).status_code == 401
        assert client.get("/network/eth0", headers=HTML).headers["location"] == "/login?next=/network/eth0"
    assert networked.orders == []


def test_the_form(networked: Networked) -> None:
    with networked.device.client(headers=HTML) as client:
        sign_in(client)
        page = client.get("/network/eth0").text
        assert 'value="image" required checked' in page
        own = {"Origin": str(client.base_url)}
        answer = client.post("/network/eth0", data=FIXED | {"gateways": "<b>"}, headers=own)
        assert answer.status_code == 400
        assert "&lt;b&gt;" in answer.text
        assert 'value="fixed" required checked' in answer.text


def test_one_number_says_how_long() -> None:
    text = (UNITS / trial.TIMER).read_text()
    assert f"OnActiveSec={trial.SECONDS}s" in text


def test_routes_and_signals() -> None:
    text = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0102000A\t0003\t0\t0\t1024\t00000000\t0\t0\t0\n"
        "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken\n"
    )
    assert [(one.destination, one.gateway, one.metric) for one in facts.routes(text)] == [
        ("0.0.0.0/0", "10.0.2.1", 1024),
        ("10.0.2.0/24", "", 0),
    ]
    zero = "0" * 32
    six = (
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003     eth0\n"
        f"fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001     eth0\n"
        f"fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001     eth0\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200       lo\nbroken\n"
    )
    assert [(one.destination, one.gateway) for one in facts.routes6(six)] == [("::/0", "fe80::1"), ("fd00::/64", "")]
    table = (
        "Inter-| sta-|   Quality\n face | tus | link level noise\n wlan0: 0000   60.  -50.  -256        0\n x: 0 1 2\n"
    )
    assert facts.wireless(table) == {"wlan0": -50}
