"""The real steward on a real unix socket; only `systemctl` is a script that writes down what it was told."""

import asyncio
import contextlib
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.steward import client, protocol

from .conftest import listens, wait_for

ME = pwd.getpwuid(os.geteuid()).pw_name
REBOOT = b'{"action":"reboot"}\n'


class Running:
    """A steward and its socket."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.orders = folder / "orders"
        tools = folder / "tools"
        tools.mkdir()
        (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> "{self.orders}"\n')
        (tools / "systemctl").chmod(0o755)
        self.path = folder / "steward.sock"
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(self.path), *extra]
        environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}
        self.process = subprocess.Popen(command, env=environment)
        wait_for(lambda: listens(self.path))

    def say(self, data: bytes) -> protocol.Answer:
        """Send bytes, take the answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.path))
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            received = b""
            while part := link.recv(4096):
                received += part
        return protocol.decode_answer(received)


@pytest.fixture
def steward(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, "--idle", "60", "--user", ME)
    yield running
    running.process.terminate()
    running.process.wait(10)


def test_reboot_and_power_off(steward: Running) -> None:
    assert steward.say(REBOOT) == protocol.Answer(ok=True)
    asyncio.run(client.ask(steward.path, protocol.PowerOff()))
    assert steward.orders.read_text() == "--no-block --no-wall reboot\n--no-block --no-wall poweroff\n"


def test_it_answers_although_the_restart_ends_it(steward: Running) -> None:
    """systemd stops every service at once, and first of all it may be this one."""
    tool = steward.orders.parent / "tools/systemctl"
    tool.write_text(f"{tool.read_text()}kill -TERM $PPID; sleep 0.3\n")
    assert steward.say(REBOOT) == protocol.Answer(ok=True)
    assert steward.process.wait(10) == 0


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"reboot\n",
        b'{"action":"shell"}\n',
        b'{"action":"reboot","command":"id"}\n',
        b'{"action":["reboot"]}\n',
        b"[]\n",
        b"\xff\xfe\n",
        b'{"action":"reboot"}',
        b"",
        b"x" * 5000 + b"\n",
        b"x" * 50_000,
    ],
)
def test_anything_else_is_refused(steward: Running, line: bytes) -> None:
    try:
        answer = steward.say(line)
    except (ConnectionError, BrokenPipeError, msgspec.DecodeError):
        answer = protocol.Answer(ok=False, error="hung up")
    assert not answer.ok
    assert answer.error
    assert not steward.orders.exists()
    assert steward.say(REBOOT).ok


def test_two_requests_on_a_line_are_one(steward: Running) -> None:
    assert steward.say(b'{"action":"reboot"}\n{"action":"poweroff"}\n').ok
    assert steward.orders.read_text() == "--no-block --no-wall reboot\n"


def test_silent_peers_do_not_block_for_long(steward: Running) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(steward.path))
        started = time.monotonic()
        assert steward.say(REBOOT).ok
        assert time.monotonic() - started < 9


def test_other_users_are_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:  # an ordinary user cannot become another, but can be the stranger itself
        running = Running(tmp_path, "--user", "root")
        answers = {"nobody": running.say(REBOOT).error}
    else:
        # Where everybody may look: the test's own folder is closed to other users.
        open_to_all = Path(tempfile.mkdtemp())
        open_to_all.chmod(0o755)
        running = Running(open_to_all, "--user", "daemon")
        running.path.chmod(0o666)
        answers = {user: ask_as(running.path, user) for user in ("nobody", "daemon")}
        assert '"ok":true' in answers["daemon"]
    running.process.terminate()
    running.process.wait(10)
    assert "You may not ask" in answers["nobody"]


def ask_as(path: Path, user: str) -> str:
    """What the steward answers to another user of this machine."""
    script = (
        "import socket, sys; link = socket.socket(socket.AF_UNIX); link.connect(sys.argv[1]); "
        'link.sendall(b\'{"action":"reboot"}\\n\'); print(link.recv(4096).decode())'
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        user=pwd.getpwnam(user).pw_uid,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        cwd="/",
    )
    return done.stdout


def test_it_ends_when_idle(tmp_path: Path) -> None:
    running = Running(tmp_path, "--idle", "0.3")
    assert running.process.wait(10) == 0


def test_no_socket_is_one_clear_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ovenbird_device.steward"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "systemd passed no socket" in done.stderr


def test_systemd_socket_is_taken(tmp_path: Path) -> None:
    """As systemd does it: descriptor 3, LISTEN_PID and LISTEN_FDS."""
    path = tmp_path / "steward.sock"
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); "
        "s.bind(sys.argv[1] + '.new'); s.listen(); os.rename(sys.argv[1] + '.new', sys.argv[1]); "
        "os.dup2(s.fileno(), 3); os.set_inheritable(3, True); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
        "options = ['--idle', '0.5', '--user', sys.argv[2]]; "
        "os.execv(sys.executable, [sys.executable, '-m', 'ovenbird_device.steward', *options])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path), ME])
    wait_for(path.exists)
    with pytest.raises(client.StewardError, match="Not a request"):
        asyncio.run(client.ask(path, Unknown()))
    assert process.wait(10) == 0


class Unknown(protocol.Request, frozen=True, tag="unknown"):
    """A request that a steward of today does not know."""


def test_no_steward_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(client.StewardError, match="cannot be reached"):
        asyncio.run(client.ask(tmp_path / "none", protocol.Reboot()))


@given(st.binary(max_size=200))
def test_any_line_is_borne(line: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(protocol.decode_request(line), protocol.Request)
