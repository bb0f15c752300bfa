"""The list of changes: everything that was asked of the steward is on it, whole and bounded; and no secret is."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import httpx
import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.lab import Lab, Maker
from tests.unit.services.conftest import Served
from tests.unit.services.test_http import BASIC, HTML, say, sign_in

from ovenbird_device.steward import changes, protocol
from ovenbird_device.steward.changes import Changes, read


def told(client: httpx.Client) -> list[tuple[str, str, bool]]:
    return [(one["by"], one["what"], one["done"]) for one in client.get("/changes").json()["changes"]]


def test_who_did_what_and_how_it_went(served: Served) -> None:
    with served.device.client(auth=BASIC) as client:
        assert told(client) == []
        client.post("/services/hello/stop")
        client.post("/services/ovenbird-agent/stop")
        client.post("/services/hello/stop", auth=("ovenbird", "wrong"))  # came no further than the agent
        client.post("/slots/commit")
        assert told(client) == [
            ("127.0.0.1", "Commit the running slot", False),
            ("127.0.0.1", "Stop ovenbird-agent", False),
            ("127.0.0.1", "Stop hello", True),
        ]
        first = client.get("/changes?count=1").json()["changes"]
        assert [(one["action"], bool(one["message"])) for one in first] == [("commit", True)]
        assert first[0]["time"] > 1_700_000_000
        for wrong in ("0", "x", "-1", "2001", "99999999999999999999"):
            assert client.get(f"/changes?count={wrong}").status_code == 400
    # An agent that was taken over may lie on it, but neither break it nor steer a terminal.
    say(served, b'{"action":"reboot","by":"a\\n{\\"time\\":1}\\u001b[2J"}\n')
    assert read(served.device.folder / "state", 1)[0].what == "Restart"
    raw = (served.device.folder / "state" / changes.NAME).read_bytes()
    assert raw.count(b"\n") == 4
    assert b"\x1b" not in raw


def test_it_outlives_the_agent_and_needs_the_password(served: Served) -> None:
    with served.device.client(auth=BASIC) as client:
        client.post("/services/hello/stop")
    served.device.process.terminate()
    served.device.process.wait(10)
    served.device.restart()
    with served.device.client() as client:
        assert client.get("/changes").status_code == 401
        assert client.get("/changes", headers=HTML).status_code == 303
        sign_in(client)
        page = client.get("/changes", headers=HTML).text
        assert "Stop hello" in page
        assert "127.0.0.1" in page


def test_passwords_do_not_get_on_it(served: Served) -> None:
    with served.device.client(auth=BASIC) as client:
        form = {"old": BASIC[1], "new": "brand-new-secret-word"}
        assert client.post("/password", data=form).json() == {"changed": True}
        client.auth = ("ovenbird", "brand-new-secret-word")
        assert told(client) == [("127.0.0.1", "Change the password", True)]
    kept = (served.device.folder / "state" / changes.NAME).read_text()
    assert "brand-new" not in kept
    assert BASIC[1] not in kept


def test_updates_are_on_it_once_they_have_ended(device: Lab, maker: Maker) -> None:
    with device.client() as client:
        client.post("/update", content=maker.bundle("1.1.0", stranger=True).read_bytes())
        client.post("/update?reboot=0", content=maker.bundle("1.2.0").read_bytes())
        found = client.get("/changes").json()["changes"]
    assert [(one["what"], one["done"]) for one in found] == [("Update to 1.2.0", True), ("Update", False)]
    assert "Slot b" in found[0]["message"]
    assert "sign" in found[1]["message"]


def test_it_is_bounded_and_survives_torn_lines(tmp_path: Path) -> None:
    kept = Changes(tmp_path, most=4000)
    for number in range(200):
        kept.note("10.0.0.1", "reboot", f"number {number}", done=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8000
    newest = read(tmp_path, 1000)
    assert [one.what for one in newest[:3]] == ["number 199", "number 198", "number 197"]
    assert 40 < len(newest) < 200
    assert (tmp_path / changes.NAME).stat().st_mode & 0o777 == 0o640
    with (tmp_path / changes.NAME).open("r+b") as file:
        file.truncate((tmp_path / changes.NAME).stat().st_size - 7)
    kept.note("10.0.0.1", "reboot", "after the cut", done=True)
    assert [one.what for one in read(tmp_path, 2)] == ["after the cut", "number 198"]


def test_many_at_once_are_all_on_it(tmp_path: Path) -> None:
    kept = Changes(tmp_path)

    def work() -> None:
        for _ in range(10):
            kept.note("x", "reboot", "y", done=True)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path, 1000)) == 80


@given(st.text(), st.text(), st.text())
def test_any_text_is_one_whole_line(by: str, what: str, message: str) -> None:
    with TemporaryDirectory() as folder:
        Changes(Path(folder)).note(by, "reboot", what, done=False, message=message)
        assert (Path(folder) / changes.NAME).read_bytes().count(b"\n") == 1
        (found,) = read(Path(folder), 10)
        assert len(found.what) <= 400
        assert (found.by + found.what + found.message).isprintable()


def test_every_action_that_changes_something_has_words() -> None:
    silent = {"slots", "update-status", "update-resume", "dev-keep"}
    silent |= {"dev-end"}  # asked for more than once, and on the list where it did something
    values = {"verb": "start", "unit": "x.service", "what": "etc", "id": "x", "offset": 0, "old": "", "new": ""}
    values |= {"interface": "eth0", "settings": None, "user": "me", "key": "x", "fingerprint": "x", "app": "hello"}
    values |= {"password": "x"}
    for kind in get_args(protocol.Action):
        wanted = {key: value for key, value in values.items() if key in kind.__struct_fields__}
        action = protocol.decode_request(msgspec.json.encode({"action": kind.__struct_config__.tag} | wanted))
        assert bool(changes.words(action)) is (changes.name(action) not in silent), kind
