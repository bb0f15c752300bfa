"""Shells of the tests' own user: `systemd-socket-activate` starts one for each connection, as systemd does on devices.

On a device the unit's cgroup ends what a shell has left behind; here only its session is ended, by the program itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.lab import PASSWORD, Lab, Maker, lab, wait_for

from ovenbird_device.format import terminal
from ovenbird_device.terminal import frames
from ovenbird_device.terminal.frames import Data, Hello, Over, Size

USER = "tester"
USUAL = Size(80, 24)
_PATIENCE = 60.0


def _listens(path: Path) -> bool:
    """Whether somebody takes connections, without making one: each would start a shell. Flags by proc(5)."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(words[3] == "00010000" and words[-1] == str(path) for words in lines)


@contextmanager
def shells(path: Path, *options: str) -> Generator[subprocess.Popen[bytes]]:
    """Takes connections on `path` and runs a shell for each."""
    command = ["systemd-socket-activate", "--seqpacket", "--accept", f"--listen={path}"]
    command += ["-E", "PATH", "-E", "PYTHONPATH", sys.executable, "-P", "-s", "-m", "ovenbird_device.terminal"]
    process = subprocess.Popen([*command, *options, "7-1-0"], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: _listens(path))
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@dataclass
class Talk:
    """The agent's end of a shell."""

    link: socket.socket
    printed: bytes = b""
    over: str | None = None
    gone: bool = False
    hello: str = ""
    unseen: int = 0
    draws: bool = True
    """Whether it says what it has seen."""
    sizes: list[int] = field(default_factory=list[int])

    def send(self, message: frames.Typed) -> None:
        self.link.settimeout(_PATIENCE)
        self.link.sendall(frames.pack(message))

    def type(self, text: str) -> None:
        self.send(Data(text.encode()))

    def hear(self, seconds: float = 0.05) -> bool:
        """Take what comes within so many seconds. False if nothing did."""
        self.link.settimeout(seconds)
        try:
            packet = self.link.recv(1 << 20)
        except TimeoutError:
            return False
        except ConnectionError:
            packet = b""
        if not packet:
            self.gone = True
            return False
        match frames.told(packet):
            case Data(data):
                self.printed += data
                self.sizes.append(len(packet))
                self.unseen += len(data)
                if self.draws and self.unseen > 10_000:
                    self.send(frames.Seen(self.unseen))
                    self.unseen = 0
            case Over(reason):
                self.over = reason
            case Hello(instance):
                self.hello = instance
        return True

    def until(self, text: str) -> str:
        """Wait for a text; returns all that was printed."""
        self.wait(lambda: text.encode() in self.printed)
        return self.printed.decode()

    def until_over(self) -> str | None:
        """Wait for the end, and say why."""
        self.wait(lambda: self.gone)
        return self.over

    def wait(self, what: Callable[[], object]) -> None:
        """Hear until `what()` is true."""
        end = time.monotonic() + _PATIENCE
        while not what():
            assert time.monotonic() < end, f"it did not come: {self.printed[-2000:]!r}"
            self.hear()


@contextmanager
def talk(path: Path, size: Size | None = USUAL) -> Generator[Talk]:
    """A connection to a shell whose window has a size, unless it is None."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(str(path))
        found = Talk(link)
        found.wait(lambda: found.hello)
        if size is not None:
            found.send(size)
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A socket for shells."""
    path = tmp_path / "terminal.sock"
    with shells(path):
        yield path


@contextmanager
def opened(folder: Path, maker: Maker, *options: str) -> Generator[Lab]:
    """A device whose image has a terminal."""
    folder.mkdir()
    (folder / "terminal.json").write_bytes(terminal.dump(terminal.Terminal(USER)))
    (folder / "passwd").write_text(f"root:x:0:0::/root:/bin/bash\n{USER}:x:1000:1000::/home/{USER}:/bin/bash\n")
    (folder / "notes").mkdir()
    socket_path = folder / "terminal.sock"
    said = ["--terminal-said", str(folder / "terminal.json"), "--terminal-socket", str(socket_path)]
    said += ["--terminal-notes", str(folder / "notes"), "--users-passwd", str(folder / "passwd")]
    with (
        shells(socket_path, *options),
        lab(folder, maker, "--terminal", str(folder / "terminal.json"), steward_extra=tuple(said)) as running,
    ):
        yield running


@pytest.fixture
def device(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A device of the test's own."""
    with opened(tmp_path / "device", maker) as running:
        yield running


__all__ = ["PASSWORD", "USER", "Talk", "opened", "shells", "talk"]
