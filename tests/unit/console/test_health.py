"""The page of health: now, the boots before, the trials before and what they left."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.lab import Lab, Maker
from tests.unit.services.test_http import HTML

from ovenbird_device.health import history, report


def test_now_and_before(device: Lab, maker: Maker) -> None:
    with device.client() as client, device.client(signed_in=False, headers=HTML) as browser:
        assert "Nothing has judged this boot yet." in browser.get("/health").text
        device.health("good", ("agent", "ok", "answers"), ("<b>disk</b>", "failing", "full"))
        assert client.get("/health").json()["system"] == {"state": "good", "reason": "", "watching": True}
        page = browser.get("/health").text
        assert "Version 1.0.0 runs from slot a, and is up." in page
        assert "Not everything that is looked at holds." in page
        assert "1 of 2 checks hold" in page
        assert page.index("&lt;b&gt;disk") < page.index("agent<span")  # what fails comes first
        device.health("good", ("agent", "ok", "answers"), ("disk", "failing", "full"), watching=False)
        assert client.get("/health").json()["system"]["watching"] is False
        assert [one["at_s"] < time.monotonic() - 59 for one in client.get("/health").json()["checks"]] == [True, True]
        page = browser.get("/health").text
        assert "Not everything that was looked at held." in page
        assert "1 of 2 checks held" in page
        assert re.search("As last looked at 1 min [0-9]+ s ago, when this boot was judged", page)
        device.health("unhealthy", ("agent", "failing", ""), reason="agent does not answer")
        fragment = browser.get("/health", headers={"HX-Request": "true"}).text
        assert fragment.startswith('<div id="health-now"')
        assert "Not well" in fragment
        assert "agent does not answer" in fragment
        client.post("/update?reboot=0", content=maker.bundle("1.1.0").read_bytes())
    device.restart()
    device.give_up("web: refused", b"[1.0] httpd: secret no\n")
    device.restart()
    with device.client() as client, device.client(signed_in=False, headers=HTML) as browser:
        (trial,) = client.get("/health/history").json()["trials"]
        assert (trial["outcome"], trial["reason"], trial["log"]) == ("rolled-back", "web: refused", "journal.txt")
        assert client.get("/health/trials/1/log").text == "[1.0] httpd: secret no\n"
        assert browser.get("/health/trials/1/log").status_code == 303
        assert device.client(signed_in=False).get("/health/trials/1/log").status_code == 401
        for wrong in ("2", "-1", "x", "..%2f1", "1e1"):
            assert client.get(f"/health/trials/{wrong}/log").status_code == 404
        page = browser.get("/health").text
        assert "was rolled back" in page
        assert "web: refused" in page


def test_boots_are_remembered(device: Lab) -> None:
    for number in range(700):
        state = "unhealthy" if number == 699 else "good"
        facts = {"slot": "a", "version": "1.0.0", "reason": "<i>full</i>" * (state == "unhealthy")}
        history.note(device.state, f"boot-{number}", state, trial=False, **facts)
        history.note(device.state, f"boot-{number}", state, trial=False, **facts)
        history.note(device.state, f"boot-{number}", "checking", trial=False, **facts)
    with device.client(signed_in=False) as client:
        boots = client.get("/health/history").json()["boots"]
        assert [one["boot"] for one in boots[:3]] == ["boot-699", "boot-698", "boot-697"]
        assert len(boots) == 500
        page = client.get("/health", headers=HTML).text
    assert "&lt;i&gt;full" in page
    assert "1.0.0 in slot a was not well" in page
    assert sum(path.stat().st_size for path in device.state.glob("health*.jsonl")) <= 2 * history.MOST


def test_a_history_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    (tmp_path / history.NAME).write_bytes(b'\xff\xfe\n{"time":"x"}\n[]\n')
    assert history.read(tmp_path, 10) == []
    (tmp_path / history.FORMER).mkdir()
    assert history.read(tmp_path, 10) == []
    assert report.trials(tmp_path) == []
