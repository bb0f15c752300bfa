"""Services over real HTTP: the list, start and stop, logs, and what must be refused."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.unit.device.conftest import PASSWORD

from ovenbird_device.provision import password
from ovenbird_device.steward import protocol

from .conftest import Served

BASIC = ("ovenbird", PASSWORD)
HTML = {"Accept": "text/html"}
A = "app-hello.service"


def sign_in(client: httpx.Client) -> None:
    client.post("/login", data={"password": PASSWORD, "next": "/"}, headers={**HTML, "Origin": str(client.base_url)})


def lines(answer: httpx.Response) -> list[str]:
    return [line["text"] for line in answer.json()["lines"]]


def say(served: Served, line: bytes) -> protocol.Answer:
    """Send a line to the steward, as a taken-over agent could."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(served.device.folder / "run/ovenbird/steward.sock"))
        link.sendall(line)
        received = b""
        while part := link.recv(4096):
            received += part
    return protocol.decode_answer(received)


def test_the_list(served: Served) -> None:
    served.journal.say(A, "listening on 8000")
    served.journal.wait(A, "listening on 8000")
    with served.device.client(auth=BASIC) as client:
        found = client.get("/services").json()
        assert "units" not in found
        hello, crash, later = found["apps"]
        assert hello["name"] == "hello"
        assert (hello["state"], hello["unit"], hello["app"], hello["kind"]) == ("running", A, True, "python")
        assert (hello["memory"], hello["cpu_s"], hello["pid"]) == (14680064, 1.52, 412)
        assert hello["last_line"] == "listening on 8000"
        assert hello["ports"] == ["8000/tcp"]
        assert hello["since_s"] > 0
        assert (crash["state"], crash["restarts"], crash["exit"]) == ("restarting", 17, "code 3")
        assert crash["memory"] is crash["pid"] is None
        assert (later["state"], later["start"], later["memory"]) == ("stopped", "manual", None)
        everything = client.get("/services?all=1").json()
        assert [one["name"] for one in everything["units"]] == ["ovenbird-agent", "ssh"]  # not rescue, nor what is gone
        assert client.get("/services/ssh").json()["app"] is False


def test_lines_are_for_who_has_the_password(served: Served) -> None:
    served.journal.say(A, "the token is 1234")
    served.journal.wait(A, "the token is 1234")
    with served.device.client() as client:
        assert client.get("/services").json()["apps"][0]["last_line"] == ""
        assert client.get("/services/hello").json()["last_line"] == ""
        for path in ("/logs", "/logs.txt", "/services/hello/logs", "/services/hello/logs.txt"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert "1234" not in answer.text
            assert client.get(path, headers=HTML).status_code == 303
            assert client.get(path, headers={"Accept": "text/event-stream"}).status_code == 401
        assert "1234" not in client.get("/services", headers=HTML).text
        assert "1234" not in client.get("/services/hello", headers=HTML).text
        sign_in(client)
        assert "1234" in client.get("/services", headers=HTML).text
        assert "1234" in client.get("/services/hello", headers=HTML).text
        assert lines(client.get("/services/hello/logs")) == ["the token is 1234"]


def test_start_stop_restart(served: Served) -> None:
    with served.device.client(auth=BASIC) as client:
        answer = client.post("/services/later/start")
        assert (answer.status_code, answer.json()) == (202, {"name": "later", "state": "running"})
        assert client.post("/services/hello/stop").json() == {"name": "hello", "state": "stopped"}
        assert client.post("/services/crash/restart").json() == {"name": "crash", "state": "running"}
        assert client.post("/services/ssh/restart").status_code == 202
    plain = "--no-block --no-ask-password"
    assert served.orders == [
        f"{plain} reset-failed -- app-later.service",
        f"{plain} start -- app-later.service",
        f"{plain} stop -- app-hello.service",
        f"{plain} reset-failed -- app-crash.service",
        f"{plain} restart -- app-crash.service",
        f"{plain} reset-failed -- ssh.service",
        f"{plain} restart -- ssh.service",
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/services/nothing/start", 404),
        ("/services/rescue/start", 404),
        ("/services/gone/start", 404),
        ("/services/systemd-poweroff/start", 404),
        ("/services/-a/start", 404),
        ("/services/--force/start", 404),
        ("/services/ssh%00/start", 404),
        ("/services/ssh%20hello/start", 404),
        ("/services/%2e%2e%2fhello/start", 404),
        ("/services/*/stop", 404),
        ("/services/ss[h]/stop", 404),
        ("/services/" + "x" * 4000 + "/start", 404),
        ("/services/hello/kill", 404),
        ("/services/ovenbird-agent/stop", 409),
    ],
)
def test_what_is_not_ordered(served: Served, path: str, status: int) -> None:
    with served.device.client(auth=BASIC) as client:
        answer = client.post(path)
        assert answer.status_code == status
        assert answer.json()["error"]
    assert served.orders == []


def test_orders_need_the_password_and_our_own_page(served: Served) -> None:
    with served.device.client() as client:
        assert client.post("/services/hello/stop").status_code == 401
        assert client.post("/services/hello/stop", auth=("ovenbird", "wrong")).status_code == 401
        assert (
            client.post("/services/hello/stop", headers={"Origin": "http://evil.example"}, auth=BASIC).status_code
            == 403
        )
        sign_in(client)
        assert client.post("/services/hello/stop").status_code == 401  # a cookie alone, without a browser's proof
        assert client.get("/services/hello/stop").status_code == 405
        own = {**HTML, "Origin": str(client.base_url)}
        answer = client.post("/services/hello/stop", headers=own)
        assert (answer.status_code, answer.headers["location"]) == (303, "/services/hello")
    assert len(served.orders) == 1


def test_the_steward_looks_for_itself(served: Served) -> None:
    """A taken-over agent asks for what it never would."""
    for unit in (
        "rescue.service",
        "gone.service",
        "cron.service",
        "a.socket",
        "--all",
        "app-hello.service\n",
        "*.service",
    ):
        line = msgspec.json.encode({"action": "control", "verb": "start", "unit": unit}) + b"\n"
        answer = say(served, line)
        assert not answer.ok
        assert answer.reason == "unknown"
    for verb in ("kill", "mask", "--force"):
        line = msgspec.json.encode({"action": "control", "verb": verb, "unit": A}) + b"\n"
        assert not say(served, line).ok
    for old in ("", "wrong"):
        line = msgspec.json.encode({"action": "password", "old": old, "new": "a good new one"}) + b"\n"
        assert not say(served, line).ok
    assert served.orders == []
    assert served.device.client(auth=BASIC).post("/services/hello/stop").status_code == 202


def test_logs_in_pages_and_as_a_file(served: Served) -> None:
    served.journal.say(A, *(f"line {number}" for number in range(30)))
    served.journal.say("ssh.service", "somebody came", level=4, source="sshd")
    served.journal.wait("ssh.service", "somebody came")
    with served.device.client(auth=BASIC) as client:
        page = client.get("/services/hello/logs?lines=10").json()
        assert [line["text"] for line in page["lines"]] == [f"line {number}" for number in range(20, 30)]
        assert page["more"] is True
        first = page["lines"][0]
        assert set(first) >= {"cursor", "time", "level", "text", "pid"}
        older = client.get("/services/hello/logs", params={"before": first["cursor"], "lines": "100"}).json()
        assert [line["text"] for line in older["lines"]] == [f"line {number}" for number in range(20)]
        assert older["more"] is False
        assert lines(client.get("/services/hello/logs?text=LINE%2017")) == ["line 17"]
        assert lines(client.get("/logs?level=warning")) == ["somebody came"]
        assert lines(client.get("/services/ssh/logs?boot=0")) == ["somebody came"]
        assert lines(client.get("/services/hello/logs?lines=0")) == []
        text = client.get("/services/hello/logs.txt")
        assert len(text.text.splitlines()) == 30
        assert text.headers["content-disposition"] == 'attachment; filename="hello.txt"'
        assert "somebody came" in client.get("/logs.txt").text
        for bad in ("level=loud", "boot=x", "before=x", "lines=x", "text=" + "x" * 300):
            assert client.get(f"/services/hello/logs?{bad}").status_code == 400
        follow = {"Accept": "text/event-stream"}
        assert client.get("/logs?boot=-1", headers=follow).status_code == 400
        assert client.get("/logs", headers={**follow, "Last-Event-ID": "1"}).status_code == 400
        assert client.get("/services/nothing/logs").status_code == 404


def events(served: Served, count: int, **headers: str) -> list[tuple[str, str]]:
    """So many events of hello's log, as id and text."""
    found: list[tuple[str, str]] = []
    with (
        served.device.client(auth=BASIC) as client,
        client.stream("GET", "/services/hello/logs", headers={"Accept": "text/event-stream", **headers}) as answer,
    ):
        assert answer.status_code == 200
        cursor = ""
        for line in answer.iter_lines():
            if line.startswith("id: "):
                cursor = line[4:]
            elif line.startswith("data: "):
                found.append((cursor, json.loads(line[6:])["text"]))
                if len(found) == count:
                    break
    return found


def test_following_over_a_disconnect_and_a_killed_agent(served: Served) -> None:
    served.journal.say(A, *(f"line {number}" for number in range(5)))
    served.journal.wait(A, "line 4")
    first = events(served, 5)
    served.journal.say(A, "line 5")
    served.device.process.kill()
    served.device.process.wait(10)
    served.journal.say(A, "line 6")
    served.device.restart()
    later = threading.Timer(1.0, served.journal.say, (A, "line 7"))
    later.start()
    second = events(served, 3, **{"Last-Event-ID": first[-1][0]})
    later.join()
    assert [text for _, text in first + second] == [f"line {number}" for number in range(8)]


def test_a_hundred_readers(served: Served) -> None:
    served.journal.say(A, "begin")
    served.journal.wait(A, "begin")
    ready = threading.Barrier(101)
    results: list[list[str]] = []

    def read() -> None:
        limits = httpx.Client(base_url=served.device.url, trust_env=False, timeout=60, auth=BASIC)
        found: list[str] = []
        with (
            limits as client,
            client.stream("GET", "/services/hello/logs", headers={"Accept": "text/event-stream"}) as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:])["text"])
                    if found == ["begin"]:
                        ready.wait(60)
                    if len(found) == 201:
                        break
        results.append(found)

    threads = [threading.Thread(target=read) for _ in range(100)]
    for thread in threads:
        thread.start()
    ready.wait(60)
    served.journal.say(A, *(f"line {number}" for number in range(200)))
    status = Path(f"/proc/{served.device.process.pid}/status").read_text()
    for thread in threads:
        thread.join(60)
    assert results == [["begin", *(f"line {number}" for number in range(200))]] * 100
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])
    assert resident < 64 * 1024
    with served.device.client() as client:
        assert "ovenbird_log_readers" in client.get("/metrics").text


def test_a_page_for_each(served: Served) -> None:
    served.journal.say(A, "<script>alert(1)</script>", level=3)
    served.journal.wait(A, "alert(1)")
    with served.device.client(headers=HTML) as client:
        sign_in(client)
        page = client.get("/services").text
        assert "crash does not stay up." in page
        assert "&lt;script&gt;alert" in page
        assert (
            client.get("/services", headers={"HX-Request": "true"}).text.lstrip().startswith('<div id="services-now"')
        )
        page = client.get("/services/hello?text=alert").text
        assert "Running for" in page
        assert 'action="/services/hello/stop"' in page
        assert "&lt;script&gt;alert" in page
        assert "<script>alert" not in page
        assert 'data-stream="/services/hello/logs?text=alert&amp;after=' in page
        assert "style=" not in page
        assert client.get("/services?all=1").text.count("<tr") == 3
        assert "alert(1)" in client.get("/logs").text
        assert client.get("/services/nothing").status_code == 404
        assert "is what this page" not in client.get("/services/ovenbird-agent").text


def test_systemd_that_does_not_answer_is_said(served: Served) -> None:
    (served.device.folder / "tools/systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    with served.device.client(auth=BASIC) as client:
        answer = client.get("/services")
        assert answer.status_code == 503
        assert "Failed to connect to bus" in answer.json()["error"]
        assert client.get("/metrics").status_code == 200
        assert client.get("/").status_code == 200
        assert client.post("/services/hello/stop").status_code == 409


def test_the_password_is_changed(served: Served) -> None:
    file = served.device.folder / "state/password.json"
    with served.device.client() as client, served.device.client() as other:
        sign_in(client)
        sign_in(other)
        for old, new, status in (("wrong", "a good new one", 401), (PASSWORD, "short", 400), (PASSWORD, PASSWORD, 400)):
            assert client.post("/password", data={"old": old, "new": new}).status_code == status
        assert client.post("/password", json={"old": PASSWORD, "new": "a good new one"}).status_code == 415
        own = {**HTML, "Origin": str(client.base_url)}
        foreign = client.post(
            "/password", data={"old": PASSWORD, "new": "x" * 9}, headers={"Origin": "http://evil.example"}
        )
        assert foreign.status_code == 403
        form = {"old": PASSWORD, "new": "a good new one", "again": "another one"}
        assert "not typed the same twice" in client.post("/password", data=form, headers=own).text
        answer = client.post("/password", data=form | {"again": "a good new one"}, headers=own)
        assert answer.status_code == 200
        assert "Sign out" in client.get("/", headers=HTML).text  # who changed it stays signed in
        assert "Sign out" not in other.get("/", headers=HTML).text
        assert client.post("/services/hello/stop", auth=BASIC, headers={"Cookie": ""}).status_code == 401
        assert client.post("/password", data={"old": "a good new one", "new": "yet another"}).json() == {
            "changed": True
        }
    kept = password.read(file)
    assert kept is not None
    assert kept.origin == "chosen"
    assert password.matches(kept, "yet another")
    assert file.stat().st_mode & 0o777 == 0o640
