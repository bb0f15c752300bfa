"""The verbs for one device or many, as installed, against devices that speak the agreed JSON and SSE."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from tests.lab import Lab, wait_for
from tests.unit.deliver.speaker import PASSWORD, Speaker, service, start

PROGRAM = str(Path(sys.executable).with_name("ovenbird"))


def run(
    *words: str, password: str | None = PASSWORD, feed: str = "", path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    environment = {**os.environ, **({"OVENBIRD_PASSWORD": password} if password else {})}
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return subprocess.run(
        [PROGRAM, *words], env=environment, input=feed, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture
def other() -> Generator[Speaker]:
    """A second device."""
    running = start()
    running.id = "4567"
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_status_of_several(speaker: Speaker, other: Speaker) -> None:
    good = run("status", speaker.name, other.name, password=None)
    assert good.returncode == 0, good.stderr
    rows = [line.split() for line in good.stdout.splitlines()]
    assert rows[0] == ["device", "name", "version", "slot", "health", "model"]
    assert rows[1][:5] == [speaker.name, "hello", "1.4.0", "a", "ok"]
    assert rows[2][0] == other.name
    other.health = "degraded"
    unwell = run("status", speaker.name, other.name, "--json")
    assert unwell.returncode == 1
    found = json.loads(unwell.stdout)
    assert [one["target"] for one in found] == [speaker.name, other.name]
    assert [one["value"]["health"] for one in found] == ["ok", "degraded"]
    assert f"{other.name}: its health is degraded" in unwell.stderr
    away = run("status", speaker.name, "127.0.0.1:9", "nosuchbird")
    assert away.returncode == 4
    assert speaker.name in away.stdout
    assert "127.0.0.1:9: does not answer" in away.stderr
    assert "nobody knows a device called nosuchbird" in away.stderr
    assert not any("signed" in one for one in speaker.requests)


def test_what_names_no_device_is_said_before_anything_is_done(speaker: Speaker) -> None:
    for words in ((speaker.name, "ftp://x/"), (speaker.name, speaker.name)):
        done = run("reboot", *words)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
    assert speaker.requests == []


def test_services(speaker: Speaker, other: Speaker) -> None:
    speaker.services["web"] = service("web", state="failed", exit="code 1", restarts=3, memory=None, last_line="no\x1b")
    done = run("services", speaker.name, password=None)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][0] == "name"
    assert rows[1] == ["hello", "running", "2", "h", "12.0", "MiB", "1.2", "s", "listening"]
    assert rows[2] == ["web", "failed", "(code", "1)", "2", "h", "3", "1.2", "s", "no\\x1b"]
    both = run("services", "--all", speaker.name, other.name)
    assert [line.split()[:2] for line in both.stdout.splitlines()[1:]] == [
        [speaker.name, "hello"],
        [speaker.name, "web"],
        [speaker.name, "ssh"],
        [other.name, "hello"],
        [other.name, "ssh"],
    ]
    found = json.loads(run("services", speaker.name, "--json").stdout)
    assert [one["name"] for one in found[0]["value"]["apps"]] == ["hello", "web"]


def test_a_device_that_shows_its_services_to_its_owner_only(speaker: Speaker) -> None:
    speaker.reserved = True
    assert run("services", speaker.name).returncode == 0
    assert "GET /services signed" in speaker.requests
    none = run("services", speaker.name, password=None)
    assert (none.returncode, "wants its password" in none.stderr) == (1, True)
    assert run("logs", speaker.name).returncode == 0
    wrong = run("services", speaker.name, password="wrong")
    assert (wrong.returncode, "needs the device's password" in wrong.stderr) == (1, True)


def test_orders(speaker: Speaker, other: Speaker) -> None:
    speaker.changes["hello"] = [{}, {"state": "stopping"}, {"state": "running", "pid": 101}]
    other.changes["hello"] = [{}, {"state": "failed", "pid": None, "exit": "code 3", "last_line": "no such file"}]
    done = run("restart", speaker.name, other.name, "hello")
    assert done.returncode == 1
    assert done.stdout == f"{speaker.name}: hello is running\n"
    assert f"{other.name}: hello failed (code 3): no such file" in done.stderr
    assert "ovenbird logs" in done.stderr
    speaker.changes["hello"] = [{}, {"state": "stopped", "pid": None}]
    assert run("stop", speaker.name, "hello").stdout == f"{speaker.name}: hello is stopped\n"
    speaker.changes["hello"] = [{}, {}, {"state": "running", "pid": 102}]
    assert run("start", speaker.name, "hello").stdout == f"{speaker.name}: hello is running\n"
    assert run("start", speaker.name, "hello", "--no-wait").stdout == f"{speaker.name}: hello is starting\n"
    loops = {"state": "restarting", "pid": None, "exit": "signal 11"}
    speaker.changes["hello"] = [{}, {"state": "running", "pid": 103}, loops]
    crash = run("restart", speaker.name, "hello")
    assert (crash.returncode, "hello failed (signal 11): listening" in crash.stderr) == (1, True)
    unknown = run("start", speaker.name, "helo")
    assert (unknown.returncode, "no service helo" in unknown.stderr) == (1, True)
    assert "ovenbird services" in unknown.stderr
    wrong = run("stop", speaker.name, "hello", password="wrong")
    assert (wrong.returncode, "not this device's password" in wrong.stderr) == (1, True)


def test_reboot_waits_until_they_are_back(speaker: Speaker, other: Speaker) -> None:
    done = run("reboot", speaker.name, other.name)
    assert done.returncode == 0, done.stderr
    assert (speaker.boot, other.boot) == (2, 2)
    assert "hello 1.4.0 from slot a" in done.stdout
    done = run("reboot", speaker.name, "--no-wait")
    assert (done.returncode, done.stdout) == (0, f"{speaker.name}: restarts\n")
    wait_for(lambda: speaker.boot == 3)
    nobody = run("reboot", "127.0.0.1:9")
    assert nobody.returncode == 4


def test_a_device_that_does_not_come_back(speaker: Speaker) -> None:
    speaker.password = "other-than-that"
    refused = run("reboot", speaker.name)
    assert refused.returncode == 1
    speaker.password = PASSWORD
    speaker.boot = 1

    def never(_: Speaker) -> None:
        speaker.down = True

    speaker.restart = never
    away = run("reboot", speaker.name, "--timeout", "1")
    assert away.returncode == 4
    assert "has not come back" in away.stderr


def test_ctrl_c_ends_a_wait_for_several_at_once(speaker: Speaker, other: Speaker) -> None:
    speaker.restart = other.restart = lambda _: None
    environment = {**os.environ, "OVENBIRD_PASSWORD": PASSWORD, "TERM": "xterm"}
    child: pexpect.spawn[str] = pexpect.spawn(
        PROGRAM, ["reboot", speaker.name, other.name], env=environment, encoding="utf-8", timeout=60
    )
    child.expect("restart")
    wait_for(lambda: all("POST /reboot signed" in one.requests for one in (speaker, other)))
    child.sendintr()
    child.expect("Stopped")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "\x1b[?25h" in (child.before or "")  # the cursor is back


def test_a_new_password_is_taken_and_remembered(speaker: Speaker, other: Speaker, remembered: Path) -> None:
    new = "morgen-abend"
    done = run("password", "--stdin", speaker.name, other.name, feed=f"{new}\n")
    assert done.returncode == 0, done.stderr
    assert (speaker.password, other.password) == (new, new)
    assert done.stdout.splitlines() == [f"{one.name}: has its new password." for one in (speaker, other)]
    assert "OVENBIRD_PASSWORD is set" in done.stderr
    (first, second) = sorted(remembered.iterdir())
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777 == 0o600
    assert run("reboot", "--no-wait", speaker.name, password=None).returncode == 0
    short = run("password", "--stdin", other.name, password=None, feed="x\n")
    assert (short.returncode, "too short" in short.stderr, "Take 8" in short.stderr) == (1, True, True)
    empty = run("password", "--stdin", other.name, feed="\n")
    assert empty.returncode == 2
    nobody = run("password", other.name)
    assert (nobody.returncode, "no terminal" in nobody.stderr) == (2, True)


def test_passwords_are_asked_for_on_a_terminal(speaker: Speaker, remembered: Path) -> None:
    def typed(*answers: str) -> tuple[str, int | None]:
        child: pexpect.spawn[str] = pexpect.spawn(PROGRAM, ["password", speaker.name], encoding="utf-8", timeout=60)
        for answer in answers:
            child.expect(r"(New password|same again|Password of \S+): ")
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        return child.before or "", child.exitstatus

    said, code = typed("morgen-abend", "morgen-mittag")
    assert ("not the same twice" in said, code, speaker.requests) == (True, 2, [])
    said, code = typed("morgen-abend", "morgen-abend", "wrong")
    assert ("not this device's password" in said, code, remembered.exists()) == (True, 1, False)
    said, code = typed("morgen-abend", "morgen-abend", PASSWORD)
    assert (code, speaker.password) == (0, "morgen-abend"), said
    speaker.password = PASSWORD  # Somebody else has changed it: what is remembered is asked for again.
    said, code = typed("abend-morgen", "abend-morgen", PASSWORD)
    assert (code, speaker.password) == (0, "abend-morgen"), said
    assert "abend-morgen" in next(remembered.iterdir()).read_text()


def test_a_password_whose_answer_was_lost(speaker: Speaker, remembered: Path) -> None:
    speaker.lose_answer = True
    done = run("password", "--stdin", speaker.name, feed="morgen-abend\n")
    assert done.returncode == 0, done.stderr
    assert "morgen-abend" in next(remembered.iterdir()).read_text()


def test_logs(speaker: Speaker, other: Speaker) -> None:
    speaker.say("first\nand its second line")
    speaker.say("\x1b[31mred\x1b[0m \x1b]0;title\x07", level=3)
    done = run("logs", speaker.name, password=None)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith(" hello: first")
    assert lines[1].strip() == "and its second line"
    assert lines[2].endswith(" hello: red \\x1b]0;title\\x07")
    other.say("elsewhere", time=1_700_000_001_500_000)
    both = run("logs", speaker.name, other.name, "--app", "hello", "--lines", "9").stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in both if not line.endswith("second line")] == [
        "first",
        "elsewhere",
        "\\x1b]0;title\\x07",
    ]
    assert both[0].startswith(f"{speaker.name}: ")
    words = ["--previous", "--level", "error", "--text", "a b", "-n", "5", "--json", "--app", "hello"]
    found = json.loads(run("logs", speaker.name, *words).stdout.splitlines()[0])
    assert (found["target"], found["cursor"]) == (speaker.name, "i=1")
    assert speaker.requests[-1] == "GET /services/hello/logs?lines=5&level=err&boot=-1&text=a+b"
    run("logs", speaker.name, "--since-boot")
    assert speaker.requests[-1] == "GET /logs?lines=200&boot=0"


def test_more_lines_than_one_page(speaker: Speaker) -> None:
    for number in range(2345):
        speaker.say(str(number))
    done = run("logs", speaker.name, "-n", "2100")
    assert [line.rpartition(" ")[2] for line in done.stdout.splitlines()] == [str(n) for n in range(245, 2345)]


def test_bad_questions_about_logs(speaker: Speaker) -> None:
    for words, said in (
        (["--level", "loud"], "no level loud"),
        (["--level", "12"], "no level 12"),
        (["--previous", "-f"], "has ended"),
    ):
        done = run("logs", speaker.name, *words)
        assert (done.returncode, said in done.stderr) == (2, True)
    unknown = run("logs", speaker.name, "--app", "helo", "-f")
    assert (unknown.returncode, "no service helo" in unknown.stderr) == (1, True)
    nobody = run("logs", "127.0.0.1:9", "-f")
    assert (nobody.returncode, "does not answer" in nobody.stderr) == (4, True)


@contextmanager
def following(*words: str) -> Generator[subprocess.Popen[str]]:
    """`ovenbird logs -f`, ended by Ctrl-C."""
    process = subprocess.Popen(
        [PROGRAM, "logs", "-f", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def texts(process: subprocess.Popen[str], count: int) -> list[str]:
    """The last words of the next lines."""
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n").rpartition(" ")[2] for _ in range(count)]


def test_following_goes_on_after_a_cut_without_loss(speaker: Speaker) -> None:
    speaker.cuts = [2]
    for number in range(4):
        speaker.say(f"line-{number}")
    with following(speaker.name) as process:
        assert texts(process, 4) == ["line-0", "line-1", "line-2", "line-3"]
        speaker.say("line-4 \u2028 \x85 odd")
        assert texts(process, 1) == ["odd"]
        speaker.down = True  # a restart in the middle
        speaker.say("line-5")
        speaker.say("line-6")
        speaker.down = False
        assert texts(process, 2) == ["line-5", "line-6"]
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        assert "connected again" in process.stderr.readline()
        process.send_signal(2)
        assert process.wait(20) == 130


def test_following_through_a_network_that_breaks_often(speaker: Speaker) -> None:
    for number in range(300):
        speaker.say(f"line-{number}-{'x' * 200}-{number}")
    speaker.cuts = [7, 1, 50, 100]
    with following(speaker.name, "-n", "300") as process:
        assert texts(process, 300) == [one["text"] for one in speaker.lines]
    assert speaker.cuts == []


def test_following_several(speaker: Speaker, other: Speaker) -> None:
    speaker.say("here")
    with following(speaker.name, other.name) as process:
        assert texts(process, 1) == ["here"]
        other.say("there")
        assert texts(process, 1) == ["there"]


def test_ssh_gets_the_host_and_what_the_user_said(tmp_path: Path, speaker: Speaker) -> None:
    script = tmp_path / "ssh"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    script.chmod(0o755)
    done = run("ssh", f"http://ovenbird:secret@{speaker.name}/", path=str(tmp_path))
    assert (done.returncode, done.stdout.split()) == (7, ["--", "127.0.0.1"])
    words = ["ssh", "-p", "2222", "--user", "admin", "-o", "BatchMode=yes", "127.0.0.1", "ls", "-la", "--", "/data"]
    done = run(*words, path=str(tmp_path))
    assert done.stdout.split() == [
        *("-oBatchMode=yes", "-p", "2222", "-l", "admin", "--", "127.0.0.1", "ls", "-la", "--", "/data"),
    ]


def test_reboot_of_a_real_agent(device: Lab) -> None:
    """The one order that a real agent takes through a real steward; the lab plays the machine's restart."""
    process = subprocess.Popen(
        [PROGRAM, "reboot", "--no-wait", device.url], env={**os.environ, "OVENBIRD_PASSWORD": PASSWORD}
    )
    assert process.wait(60) == 0
    assert device.ordered_restart()
