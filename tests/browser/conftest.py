"""A real Chromium against the real agent, run on the loopback as on a device. Screenshots go to `test-output/`."""

import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
from playwright.sync_api import Browser, sync_playwright

from ovenbird_device.provision import password
from tests import services
from tests.journal import TestJournal, journal

PASSWORD = "tobak-mirun-depol"
OUTPUT = Path(__file__).parents[2] / "test-output"
CHROMIUM = "/usr/bin/chromium"
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nadmin:x:1000:1000::/home/admin:/bin/bash\n"
)
SSHD = "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u /etc/ovenbird/users/%u.keys\n"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server"]


@dataclass
class Device:
    """A running agent, its folder and its steward."""

    folder: Path
    port: int
    agent: subprocess.Popen[bytes]
    steward: subprocess.Popen[bytes]
    journal: TestJournal

    @property
    def url(self) -> str:
        """Where the agent answers."""
        return f"http://127.0.0.1:{self.port}"

    def orders(self) -> str:
        """What the stand-in for systemctl was told."""
        file = self.folder / "orders"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return "".join(line for line in lines if not line.startswith("show "))

    def note(self, text: str) -> None:
        """Change the initrd's note of the boot, and wait until the agent's last reading is stale."""
        (self.folder / "run/ovenbird/boot").write_text(text)
        time.sleep(1.1)

    def start_agent(self) -> None:
        """Start the agent (again) on its port."""
        self.agent = _agent(self.folder, self.port)


def _agent(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.agent", "--address", "127.0.0.1", "--port", str(port)]
    command += ["--state", str(folder / "state"), "--runtime", str(folder / "run"), "--data", str(folder)]
    command += ["--image", str(folder / "image.json"), "--system", str(folder / "sys")]
    command += ["--apps", str(folder / "apps.json"), "--journal", str(folder / "journal-run/log/journal")]
    command += ["--networks", str(folder / "networks"), "--users", str(folder / "users")]
    command += ["--passwd", str(folder / "passwd"), "--ssh", str(folder / "ssh")]
    process = subprocess.Popen(command, env={**os.environ, "PATH": services.path(folder / "tools")})
    opener = build_opener(ProxyHandler({}))

    def answers() -> bool:
        try:
            with opener.open(f"http://127.0.0.1:{port}/health", timeout=5):
                return True
        except (URLError, ConnectionError, TimeoutError):
            return False

    wait_for(answers)
    return process


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


NOTE = "slot=b\ntrial=0\nhash=sha256:00112233445566778899\ndata=ok\ndata_reason=\netc=kept\nswitch_ms=1923\n"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device of the test's own, with a sensor and a boot of 6.4 seconds."""
    thermal = "sys/class/thermal/thermal_zone0"
    for name in ("run/ovenbird", "run/ovenbird-agent", "state", "tools", "ssh/sshd_config.d", thermal):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run/ovenbird/boot").write_text(NOTE)
    (tmp_path / "run/ovenbird-agent/ready").write_text("6.412\n")
    (tmp_path / "sys/class/thermal/thermal_zone0/type").write_text("cpu-thermal\n")
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("48312\n")
    (tmp_path / "image.json").write_text('{"name": "hello", "version": "1.4.0", "board": "vm", "description": ""}')
    password.write(tmp_path / "state/password.json", password.make(PASSWORD, "generated"), group=None)
    (tmp_path / "passwd").write_text(PASSWD)
    (tmp_path / "ssh/sshd_config.d/keys.conf").write_text(SSHD)
    (tmp_path / "80-ovenbird.network").write_text("[Network]\nDHCP=yes\n")
    tools = services.lay_out(tmp_path)
    (tools / "networkctl").write_text("#!/bin/sh\nexit 0\n")
    (tools / "networkctl").chmod(0o755)
    path = tmp_path / "run/ovenbird/steward.sock"
    command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
    command += ["--user", pwd.getpwuid(os.geteuid()).pw_name]
    command += ["--apps", str(tmp_path / "apps.json"), "--state", str(tmp_path / "state")]
    command += ["--note", str(tmp_path / "run/ovenbird/boot"), "--network-kept", str(tmp_path / "networks")]
    command += ["--network-active", str(tmp_path / "active"), "--users-kept", str(tmp_path / "users")]
    command += ["--network-note", str(tmp_path / "run/ovenbird/network/pending.json")]
    command += ["--network-image", str(tmp_path / "80-ovenbird.network"), "--system", str(tmp_path / "sys")]
    command += ["--users-passwd", str(tmp_path / "passwd"), "--users-ssh", str(tmp_path / "ssh")]
    steward = subprocess.Popen(command, env={**os.environ, "PATH": services.path(tools)})
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    with journal(tmp_path) as own:
        running = Device(tmp_path, port, _agent(tmp_path, port), steward, own)
        yield running
        for process in (running.agent, running.steward):
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a file; gone before the next one is run, as its event loop runs in this thread."""
    OUTPUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
