"""The program that runs a shell, with real shells: what it passes on, and that nothing of it is left."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ovenbird_device.terminal import frames
from ovenbird_device.terminal.frames import Data, Size

from .conftest import Talk, shells, talk


def pid_after(found: Talk, mark: str) -> int:
    """The number that a program printed behind a mark; the echoed command has `$` there."""
    found.wait(lambda: re.search(rf"{mark}=(\d+)".encode(), found.printed))
    number = re.search(rf"{mark}=(\d+)".encode(), found.printed)
    assert number is not None
    return int(number[1])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid: int) -> None:
    end = time.monotonic() + 20
    while lives(pid):
        assert time.monotonic() < end, f"{pid} is left"
        time.sleep(0.02)


def test_a_login_shell_runs_in_a_terminal(path: Path) -> None:
    with talk(path) as found:
        assert found.hello == "7-1-0"
        found.type("echo got $((6*7)) $0 $TERM $(tty)\r")
        said = found.until("got 42")
        found.type("shopt login_shell; grep SigIgn /proc/self/status; env | grep -c -e PYTHON -e LISTEN_\r")
        found.type("echo fds $(ls /proc/$$/fd)\r")
        said = found.until("fds 0")
        found.type("exit\r")
        assert found.until_over() == "ended"
    assert re.search(r"got 42 -\S*sh xterm-256color /dev/pts/\d+", said)
    assert re.search(r"login_shell\s+on", said)
    assert re.search(r"SigIgn:\t0{16}", said), "no signal is ignored from the beginning"
    assert re.search(r"^0\r$", said, re.MULTILINE), "nothing of the unit's own environment"
    assert "fds 0 1 2 255" in said, "and nothing of its files"


def test_the_window_has_the_page_s_size(path: Path) -> None:
    with talk(path, Size(101, 33)) as found:
        found.type("stty size\r")
        found.until("33 101")
        found.type("trap 'echo changed to $(stty size)' WINCH; echo ready$((1))\r")
        found.until("ready1")
        found.send(Size(64, 20))
        found.type("\r")
        found.until("changed to 20 64")


def test_unfinished_characters_pass(path: Path) -> None:
    with talk(path) as found:
        found.send(Data(b"echo \xc3"))
        found.send(Data(b"\xa4 | od -An -tx1; printf '\\377\\376'; echo done$((1))\r"))
        found.wait(lambda: b"done1" in found.printed)
        assert b"c3 a4 0a" in found.printed
        assert b"\xff\xfedone1" in found.printed


def test_a_cut_connection_ends_the_whole_session(path: Path) -> None:
    with talk(path) as found:
        found.type("echo shell=$$; trap '' HUP; sleep 1000 & echo quiet=$!\r")
        found.type("(trap '' HUP TERM INT; echo stubborn=$BASHPID; while :; do sleep 1; done)\r")
        pids = [pid_after(found, name) for name in ("shell", "quiet", "stubborn")]
        assert all(map(lives, pids))
    for pid in pids:
        gone(pid)


def test_a_shell_that_ends_takes_its_background_along(path: Path) -> None:
    with talk(path) as found:
        found.type("nohup sleep 1000 >/dev/null 2>&1 & echo left=$!\r")
        left = pid_after(found, "left")
        found.type("exit\r")
        assert found.until_over() == "ended"
        gone(left)


def test_the_last_words_come_before_the_end(path: Path) -> None:
    """Also if there are many of them, and somebody holds the terminal open."""
    with talk(path) as found:
        found.type("sleep 1000 & seq 20000; exec sh -c 'echo last $((2+1)) words'\r")
        assert found.until_over() == "ended"
        assert b"20000\r\n" in found.printed
        assert found.printed.endswith(b"last 3 words\r\n")


def test_nobody_types(tmp_path: Path) -> None:
    with shells(tmp_path / "idle.sock", "--idle", "4"), talk(tmp_path / "idle.sock") as found:
        found.type("echo shell=$$; while :; do echo noise; sleep 0.1; done\r")
        shell = pid_after(found, "shell")
        assert found.until_over() == "idle"
        gone(shell)


def test_a_flood_is_held_back_until_it_is_seen(path: Path) -> None:
    with talk(path) as found:
        found.draws = False
        found.type("yes 0123456789\r")
        found.wait(lambda: len(found.printed) >= frames.WINDOW)
        while found.hear(1.0):
            pass
        assert frames.WINDOW <= len(found.printed) < frames.WINDOW + 2 * frames.LONGEST_TOLD
        assert max(found.sizes) <= frames.LONGEST_TOLD
        assert not found.gone
        found.draws, found.unseen = True, 0
        found.send(frames.Seen(frames.WINDOW))
        before = len(found.printed)
        found.wait(lambda: len(found.printed) > before + frames.WINDOW)
        found.type("\x03echo after$((1))\r")
        found.until("after1")


def test_much_that_is_typed_is_not_lost(path: Path) -> None:
    text = "".join(f"{number:07}\n" for number in range(20_000))
    with talk(path) as found:
        found.type("stty -echo; echo go$((1)); wc -l; echo over$((1))\r")
        found.until("go1")
        for start in range(0, len(text), 4000):
            found.type(text[start : start + 4000])
        found.type("\x04")
        found.until("over1")
        assert b"\n20000\r\nover1" in found.printed


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff",
        b"\x00",
        b"\x01\x00\x50",
        b"\x01\x00\x00\x00\x00",
        b"\x03\x00",
        b"\x04x",
        b"\xee" + bytes(range(250)) * 16,
        bytes(9000),
    ],
    ids=lambda junk: f"{junk[:2].hex()}-{len(junk)}",
)
def test_junk_ends_it(path: Path, junk: bytes) -> None:
    with talk(path) as found:
        found.type("echo shell=$$\r")
        shell = pid_after(found, "shell")
        found.link.send(junk)
        assert found.until_over() is None
        gone(shell)


@pytest.mark.parametrize("first", [Data(b"echo no\r"), frames.Seen(1)])
def test_the_size_comes_first(path: Path, first: frames.Typed) -> None:
    with talk(path, None) as found:
        found.send(first)
        assert found.until_over() is None
        assert found.printed == b""
