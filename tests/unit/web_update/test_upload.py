"""Bundles sent to the real agent and steward: taken, refused, cut off and continued."""

import base64
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.lab import MIB, PASSWORD, Lab, Maker, wait_for

from ovenbird_device.format.selector import Slot

BASIC = base64.b64encode(f"ovenbird:{PASSWORD}".encode()).decode()


def written(device: Lab, maker: Maker, version: str) -> bool:
    """Whether slot b's boot partition holds a version's boot image, byte for byte."""
    image = maker.boot(version).read_bytes()
    with device.slots().disk.place("boot-b").open() as blocks:
        return blocks.read_at(0, len(image)) == image


def begin(device: Lab, bundle: bytes, count: int, head: str = "") -> socket.socket:
    """Send the head of an upload and its first bytes; the connection stays open."""
    link = socket.create_connection(("127.0.0.1", device.port), timeout=20)
    link.sendall(
        f"POST /update HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {BASIC}\r\n{head}"
        f"Content-Length: {len(bundle)}\r\n\r\n".encode()
    )
    link.sendall(bundle[:count])
    return link


def test_a_good_bundle_is_written_and_armed(device: Lab, maker: Maker) -> None:
    with device.client() as client:
        before = client.get("/update").json()
        assert (before["state"], before["signed_in"], before["accepts"]) == ("idle", True, True)
        assert before["running"] == {"slot": "a", "name": "hello", "version": "1.0.0"}
        answer = client.post("/update", content=maker.bundle("1.1.0").read_bytes())
        assert answer.status_code == 200, answer.text
        job = answer.json()["job"]
        assert (job["state"], job["slot"], job["version"], job["before"]) == ("armed", "b", "1.1.0", "1.0.0")
        assert answer.json()["state"] == "restarting"
    assert device.ordered_restart()
    assert written(device, maker, "1.1.0")
    assert device.selector().trial is Slot.B
    assert device.restart() == "b"
    with device.client() as client:
        now = client.get("/update").json()
        assert (now["state"], now["running"]["version"]) == ("trial", "1.1.0")
        device.health("checking", ("agent", "ok", ""), ("web", "waiting", ""))
        trial = client.get("/update").json()["trial"]
        assert [check["state"] for check in trial["checks"]] == ["ok", "waiting"]
        assert 100 < trial["remaining_s"] <= 120
        assert client.get("/health").json()["status"] == "trial"
        device.commit()
        now = client.get("/update").json()
        assert (now["state"], now["last"]["outcome"], now["last"]["id"]) == ("idle", "committed", job["id"])


def test_a_rollback_is_told_with_its_reason_and_its_log(device: Lab, maker: Maker) -> None:
    with device.client() as client:
        assert client.get("/update/log").status_code == 404
        client.post("/update", content=maker.bundle("1.1.0").read_bytes())
    device.restart()
    device.give_up("web: refused", b"[1.0] httpd: no\n")
    assert device.restart() == "a"
    with device.client() as client:
        now = client.get("/update").json()
        assert (now["state"], now["log"]) == ("idle", True)
        assert (now["last"]["outcome"], now["last"]["message"]) == ("rolled-back", "web: refused")
        assert client.get("/update/log").text == "[1.0] httpd: no\n"
        again = client.post("/update", content=maker.bundle("1.1.0").read_bytes())
        assert (again.status_code, again.json()["reason"]) == (422, "failed-before")
        assert "force" in again.json()["hint"]
        assert client.post("/update?force=1", content=maker.bundle("1.1.0").read_bytes()).status_code == 200


def test_plain_forms_work(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("0.9.0")
    with device.client() as client, bundle.open("rb") as file:
        answer = client.post("/update", files={"bundle": ("b.swu", file)})
        assert (answer.status_code, answer.json()["reason"]) == (422, "older")
        file.seek(0)
        page = client.post(
            "/update",
            data={"allow_downgrade": "1", "trial_only": "1"},
            files={"bundle": ("b.swu", file)},
            headers={"Accept": "text/html"},
        )
        assert (page.status_code, page.headers["location"]) == (303, "/update")
        job = client.get("/update").json()["job"]
        assert (job["state"], job["version"]) == ("armed", "0.9.0")


def test_without_a_restart(device: Lab, maker: Maker) -> None:
    with device.client() as client:
        answer = client.put("/update?reboot=0", content=maker.bundle("1.1.0").read_bytes())
        assert answer.json()["state"] == "armed"
        assert device.orders == ""
        assert "next restart tries it" in client.get("/update", headers={"Accept": "text/html"}).text


REFUSALS = {
    "stranger": ("signature", 422, "signed by a stranger"),
    "board": ("compatible", 422, "but this device is vm"),
    "older": ("older", 422, "older than 1.0.0"),
    "description": ("signature", 422, "is refused"),
    "root": ("digest", 422, "damaged on its way"),
    "cut": ("bundle", 422, "cannot be used"),
    "large": ("too-large", 422, "does not fit"),
    "nonsense": ("bundle", 422, "cannot be used"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(device: Lab, maker: Maker, case: str) -> None:
    raw = bytearray(maker.bundle("1.1.0").read_bytes())
    match case:
        case "stranger":
            raw = bytearray(maker.bundle("1.1.0", stranger=True).read_bytes())
        case "board":
            raw = bytearray(maker.bundle("1.1.0", board="pc").read_bytes())
        case "older":
            raw = bytearray(maker.bundle("0.9.0").read_bytes())
        case "description":
            raw[raw.index(b"1.1.0")] = ord("2")
        case "root":
            raw[-2 * MIB] ^= 1
        case "cut":
            del raw[-MIB:]
        case "large":
            raw = bytearray(maker.bundle("1.1.0", size=50 * MIB).read_bytes())
        case _:
            raw = bytearray(b"nonsense" * 100_000)
    before = device.selector()
    reason, status, text = REFUSALS[case]
    with device.client() as client:
        answer = client.post("/update", content=bytes(raw))
        assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
        assert text in answer.json()["error"]
        now = client.get("/update").json()
        assert (now["state"], now["last"]["outcome"], now["last"]["reason"]) == ("idle", "failed", reason)
        assert device.orders == ""
        after = device.selector()
        assert (after.active, after.trial, after.good) == (before.active, None, before.good)
        assert client.post("/update", content=maker.bundle("1.1.0").read_bytes()).status_code == 200


def test_no_password_wrong_password_and_another_site(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with device.client(signed_in=False) as client:
        answer = client.post("/update", content=bundle)
        assert (answer.status_code, answer.json()["error"]) == (401, "This needs the device's password.")
        assert client.get("/update").json()["signed_in"] is False
        wrong = httpx.BasicAuth("ovenbird", "wrong")
        assert client.post("/update", content=bundle, auth=wrong).status_code == 401
        assert client.get("/update", auth=wrong).status_code == 401
        page = client.post("/update", content=bundle, headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=/update")
    with device.client() as client:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = client.post("/update", content=bundle, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (403, "That request came from another site.")
            assert client.post("/slots/commit", headers=headers).status_code == 403
        assert client.get("/update").json()["job"] is None


def test_a_size_that_cannot_be_is_refused_at_once(device: Lab) -> None:
    with socket.create_connection(("127.0.0.1", device.port), timeout=10) as link:
        link.sendall(
            f"POST /update HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {BASIC}\r\nExpect: 100-continue\r\n"
            f"Content-Length: {1 << 40}\r\n\r\n".encode()
        )
        assert link.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_one_at_a_time(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with device.client() as client, begin(device, bundle, MIB) as link:
        wait_for(lambda: client.get("/update").json()["state"] == "uploading")
        answer = client.post("/update", content=bundle)
        assert (answer.status_code, answer.json()["error"]) == (409, "Another update is under way.")
        link.sendall(bundle[MIB:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_cut_upload_goes_on(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with device.client() as client:
        begin(device, bundle, 3 * MIB).close()
        wait_for(lambda: client.get("/update").json()["state"] == "paused")
        job = client.get("/update").json()["job"]
        assert 0 < job["received"] <= 3 * MIB
        assert 500 < job["paused_s"] <= 600
        place = {"Upload-Id": job["id"], "Upload-Offset": str(job["received"] + 1)}
        answer = client.post("/update", content=bundle[job["received"] + 1 :], headers=place)
        assert (answer.status_code, answer.json()["offset"]) == (409, job["received"])
        place["Upload-Offset"] = str(job["received"])
        answer = client.post("/update", content=bundle[job["received"] :], headers={**place, "Upload-Id": "other"})
        assert answer.status_code == 409
        answer = client.post("/update", content=bundle[job["received"] :], headers=place)
        assert answer.status_code == 200, answer.text
        assert answer.json()["job"]["id"] == job["id"]
    assert written(device, maker, "1.1.0")


def test_a_cut_upload_can_be_sent_again_from_its_beginning_at_once(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with device.client() as client:
        begin(device, bundle, 3 * MIB).close()
        wait_for(lambda: client.get("/update").json()["state"] == "paused")
        assert client.post("/update", content=bundle).status_code == 200
    assert written(device, maker, "1.1.0")


def test_an_upload_outlives_the_agent(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with begin(device, bundle, 3 * MIB):
        with device.client() as client:
            wait_for(lambda: client.get("/update").json()["job"])
            wait_for(lambda: client.get("/update").json()["job"]["received"] >= MIB)
        assert device.agent
        device.agent.kill()
        device.agent.wait(10)
    device.start_agent()
    with device.client() as client:
        wait_for(lambda: client.get("/update").json()["state"] == "paused")
        job = client.get("/update").json()["job"]
        place = {"Upload-Id": job["id"], "Upload-Offset": str(job["received"])}
        assert client.post("/update", content=bundle[job["received"] :], headers=place).status_code == 200
    assert written(device, maker, "1.1.0")


def test_events_can_be_followed_and_picked_up_again(device: Lab, maker: Maker) -> None:
    bundle = maker.bundle("1.1.0").read_bytes()
    with device.client() as client, begin(device, bundle, MIB) as link:
        wait_for(lambda: client.get("/update").json()["job"])
        job = client.get("/update").json()["job"]["id"]
        heard: list[str] = []

        def follow() -> None:
            with device.client() as other:
                stream = {"Accept": "text/event-stream"}
                with other.stream("GET", f"/jobs/{job}", headers=stream) as answer:
                    heard.extend(line for line in answer.iter_lines() if line.startswith(("id:", "event:")))

        thread = threading.Thread(target=follow)
        thread.start()
        time.sleep(0.3)
        link.sendall(bundle[MIB:])
        thread.join(30)
        assert not thread.is_alive()
        kinds = [line.removeprefix("event: ") for line in heard if line.startswith("event:")]
        assert kinds[0] == "begun"
        assert kinds[-1] == "armed"
        assert {"accepted", "verifying"} <= set(kinds)
        numbers = [int(line.removeprefix("id: ")) for line in heard if line.startswith("id:")]
        assert numbers == sorted(numbers)
        again = client.get(
            f"/jobs/{job}", headers={"Accept": "text/event-stream", "Last-Event-ID": str(numbers[-2])}
        ).text
        assert again.count("event:") == 1
        assert "event: armed" in again
        assert client.get("/jobs/nothing").status_code == 404


def test_memory_does_not_grow_with_the_bundle(device: Lab, maker: Maker) -> None:
    assert device.agent
    status = Path(f"/proc/{device.agent.pid}/status")

    def peak() -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    with device.client() as client:
        client.post("/update?reboot=0", content=maker.bundle("1.1.0", size=MIB).read_bytes())
        before = peak()
        large = maker.bundle("1.2.0", size=46 * MIB)
        with large.open("rb") as file:
            assert client.post("/update?reboot=0", content=file).status_code == 200
        with large.open("rb") as file:
            assert client.post("/update?reboot=0", files={"file": ("a.swu", file)}).status_code == 200
    assert peak() - before < 8 * MIB


def test_slots_by_hand(device: Lab, maker: Maker) -> None:
    with device.client(signed_in=False) as stranger:
        assert stranger.get("/slots").json()["running"] == "a"
        assert stranger.post("/slots/rollback").status_code == 401
    with device.client() as client:
        assert client.post("/slots/rollback").status_code == 409
        assert client.post("/slots/nonsense").status_code == 404
        client.post("/update?reboot=0&trial_only=1", content=maker.bundle("1.1.0").read_bytes())
        status = client.get("/slots").json()
        assert [one["version"] for one in status["slots"]] == ["1.0.0", "1.1.0"]
        assert status["trial"] == "b"
    assert device.restart() == "b"
    device.health("waiting", ("agent", "ok", ""))
    with device.client() as client:
        assert client.get("/update").json()["trial"]["state"] == "waiting"
        page = client.get("/slots", headers={"Accept": "text/html"}).text
        assert "Commit slot b" not in page  # a program's password is none of a browser's
        client.post("/login", data={"password": PASSWORD}, headers={"Accept": "text/html"})
        assert "Commit slot b" in client.get("/slots", headers={"Accept": "text/html"}).text
        assert client.post("/slots/commit").json()["active"] == "b"
        assert client.get("/update").json()["last"]["outcome"] == "committed"
        assert client.post("/slots/rollback?reboot=1").json()["active"] == "a"
    device.ordered_restart()
    assert device.restart() == "a"


def test_a_device_without_certificates_says_so(device: Lab) -> None:
    device.stop()
    (device.folder / "update.json").write_text("{}")
    device.start()
    with device.client() as client:
        assert client.get("/update").json()["accepts"] is False
        assert "takes no bundles" in client.get("/update", headers={"Accept": "text/html"}).text
        assert client.post("/update", content=b"x" * 1000).status_code in (422, 503)
