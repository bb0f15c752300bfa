"""The verbs against the real agent with the real steward and a real journal; only `systemctl` is a stand-in."""

from __future__ import annotations

import json

import pytest
from tests.unit.device.conftest import PASSWORD
from tests.unit.services.conftest import Served

from .test_verbs import following, run, texts

HELLO = "app-hello.service"


def name(device: Served) -> str:
    """How a user writes it."""
    return f"127.0.0.1:{device.device.port}"


def say(device: Served, *texts: str) -> None:
    """Let the app hello write lines, and wait until the journal has them."""
    for text in texts:
        device.journal.say(HELLO, text)
    device.journal.wait(HELLO, texts[-1])


def test_status_and_services(served: Served) -> None:
    say(served, "listening on 8000")
    status = run("status", name(served), "--json", password=None)
    assert status.returncode == 0, status.stderr
    (found,) = json.loads(status.stdout)
    assert (found["value"]["name"], found["value"]["slot"], found["value"]["health"]) == ("hello", "b", "ok")
    assert found["value"]["id"]
    listed = run("services", name(served)).stdout.splitlines()
    assert listed[1].split()[:2] == ["hello", "running"]
    assert listed[1].endswith("listening on 8000")
    assert listed[2].split()[:4] == ["crash", "restarting", "(code", "3)"]
    assert "listening" not in run("services", name(served), password=None).stdout
    everything = run("services", "--all", name(served)).stdout
    assert "ssh" in [line.split()[0] for line in everything.splitlines()]


def test_orders(served: Served) -> None:
    done = run("start", name(served), "later")
    assert (done.returncode, done.stdout) == (0, f"{name(served)}: later is running\n"), done.stderr
    done = run("stop", name(served), "hello")
    assert (done.returncode, done.stdout) == (0, f"{name(served)}: hello is stopped\n"), done.stderr
    assert any(one.endswith("stop -- app-hello.service") for one in served.orders)
    unknown = run("stop", name(served), "helo")
    assert (unknown.returncode, "runs nothing of that name" in unknown.stderr) == (1, True)
    untouchable = run("stop", name(served), "ovenbird-agent")
    assert untouchable.returncode == 1
    wrong = run("stop", name(served), "later", password="wrong")
    assert (wrong.returncode, "not this device's password" in wrong.stderr) == (1, True)


def test_logs(served: Served) -> None:
    say(served, *(f"line-{number}" for number in range(30)))
    done = run("logs", name(served), "--app", "hello", "-n", "20")
    assert [line.rpartition(" ")[2] for line in done.stdout.splitlines()] == [f"line-{n}" for n in range(10, 30)]
    none = run("logs", name(served), password=None)
    assert (none.returncode, "wants its password" in none.stderr) == (1, True)
    searched = run("logs", name(served), "--app", "hello", "--text", "LINE-7")
    assert searched.stdout.rstrip().endswith("line-7")


def test_following_loses_nothing_while_the_agent_restarts(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    say(served, "before")
    monkeypatch.setenv("OVENBIRD_PASSWORD", PASSWORD)
    with following(name(served), "--app", "hello") as reader:
        assert texts(reader, 1) == ["before"]
        say(served, "now")
        assert texts(reader, 1) == ["now"]
        served.device.process.kill()
        served.device.process.wait(10)
        say(served, "away-1", "away-2")
        served.device.restart()
        say(served, "back")
        assert texts(reader, 3) == ["away-1", "away-2", "back"]


def test_a_new_password(served: Served) -> None:
    new = "morgen-abend-nacht"
    done = run("password", "--stdin", name(served), feed=f"{new}\n")
    assert done.returncode == 0, done.stderr
    assert run("logs", name(served), password=None).returncode == 0
    assert run("logs", name(served)).returncode == 1
    short = run("password", "--stdin", name(served), password=None, feed="x\n")
    assert short.returncode == 1, short.stdout
