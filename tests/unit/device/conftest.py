"""Starts the real agent, as the device does, on a free port of the loopback with state of its own."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from ovenbird_device.provision import password

PASSWORD = "tobak-mirun-depol"
NOTE = "slot=b\ntrial=0\nhash=sha256:00112233445566778899\ndata=ok\ndata_reason=\netc=kept\nswitch_ms=1923\n"


@dataclass
class Device:
    """A running agent and the folders that it looks at."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int
    command: list[str] = field(default_factory=list[str])
    stewards: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def url(self) -> str:
        """Where the agent answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def note(self) -> Path:
        """The initrd's note of the boot."""
        return self.folder / "run/ovenbird/boot"

    @property
    def orders(self) -> list[str]:
        """What the stand-in for systemctl was told."""
        file = self.folder / "orders"
        return file.read_text().splitlines() if file.exists() else []

    def client(self, **options: object) -> httpx.Client:
        """A client that goes straight to the agent."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=20, **options)  # type: ignore[arg-type] # passed on

    def restart(self) -> None:
        """Start the agent again, after it has ended."""
        self.process = subprocess.Popen(self.command)
        with self.client() as client:
            wait_for(lambda: _answers(client))

    def start_steward(self, code: int = 0, *options: str) -> None:
        """The real steward on its socket; only `systemctl` is a script that writes down what it was told."""
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        script = tools / "systemctl"
        script.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/orders"\necho refused >&2\nexit {code}\n')
        script.chmod(0o755)
        path = self.folder / "run/ovenbird/steward.sock"
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path), "--idle", "60"]
        command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, *options]
        environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}
        self.stewards.append(subprocess.Popen(command, env=environment))
        wait_for(lambda: listens(path))


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def listens(path: Path) -> bool:
    """Whether somebody takes connections on a unix socket."""
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(path)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def start(folder: Path, *extra: str) -> Device:
    """Lay out the folders of a device and start its agent."""
    (folder / "run/ovenbird").mkdir(parents=True, exist_ok=True)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "run/ovenbird/boot").write_text(NOTE)
    (folder / "image.json").write_text('{"name": "hello", "version": "1.4.0", "board": "vm", "description": ""}')
    password.write(folder / "state/password.json", password.make(PASSWORD, "generated"), group=None)
    port = free_port()
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.agent", "--address", "127.0.0.1"]
    command += ["--port", str(port), "--state", str(folder / "state"), "--runtime", str(folder / "run")]
    command += ["--data", str(folder), "--image", str(folder / "image.json"), *extra]
    device = Device(folder, subprocess.Popen(command), port, command)
    with device.client() as client:
        wait_for(lambda: _answers(client))
    return device


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def stop(device: Device) -> None:
    """End the agent and its steward."""
    for process in (device.process, *device.stewards):
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """One agent for the tests of a module."""
    running = start(tmp_path_factory.mktemp("device"))
    yield running
    stop(running)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Device]:
    """An agent of the test's own, whose attempts, sessions and files nobody else touches."""
    running = start(tmp_path)
    yield running
    stop(running)
