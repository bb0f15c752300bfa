"""A whole device in a virtual machine, as its owner has it: its page, its API, SSH, its console, and its plug.

Waits are patient and nothing is asserted about time: the guest is emulated in software, beside whatever else runs here.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from ovenbird.boards import board
from ovenbird.run import run
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from ovenbird.vm.machine import Machine
from ovenbird.vm.network import ADDRESS, Forward, free_port
from ovenbird_device.format import gpt
from ovenbird_device.format.manifest import load_manifest
from ovenbird_device.format.sectors import SECTOR

PATIENCE = 400.0  # seconds for one boot on a busy machine
GLANCE = 5.0
"""Seconds for a look at a guest that may not be up yet: QEMU takes the connection before the guest does."""
SSH = (
    "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What the device's HTTP server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:  # noqa: ANN401  # Whatever the device says.
        """The answer's JSON."""
        return json.loads(self.text)


@dataclass
class Guest:
    """A running device and what one needs to get in."""

    machine: Machine
    disk: Path
    password: str | None
    key: Path | None = None
    boots: list[str] = field(default_factory=list[str])
    """The boot ids that were seen."""
    connections: Path | None = None
    """A folder for the sockets of connections that `run` keeps open."""

    # --- HTTP ---

    @property
    def url(self) -> str:
        """The device's page."""
        return self.machine.url(80)

    def ask(
        self,
        method: str,
        path: str,
        password: str | None = None,
        timeout: float = 60,
        form: Mapping[str, str] | None = None,
        port: int = 80,
    ) -> Answer:
        """One request to the device, or to an app's port. Raises OSError, HTTPException."""
        headers = {"Accept": "application/json", **authorization(password)}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(ADDRESS, self.machine.port(port), timeout=timeout)
        try:
            connection.request(method, path, None if form is None else urlencode(form), headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read().decode())
        finally:
            connection.close()

    def overview(self) -> Any:  # noqa: ANN401  # The device's JSON.
        """What `/` says."""
        answer = self.ask("GET", "/")
        assert answer.status == 200, answer
        return answer.json()

    def health(self, timeout: float = 60) -> Any:  # noqa: ANN401  # The device's JSON.
        """What `/health` says."""
        return self.ask("GET", "/health", timeout=timeout).json()

    def wait_for_boot(self) -> Any:  # noqa: ANN401  # The device's JSON.
        """Wait until a boot that was not seen yet answers, and has finished; returns its overview."""

        def up() -> Any:  # noqa: ANN401  # The device's JSON.
            if not self.machine.running:
                self.machine.wait_for("(?!)", 0)  # Raises, with the console's last lines.
            with suppress(OSError, http.client.HTTPException, ValueError):
                boot = self.health(GLANCE)["boot_id"]
                if boot not in self.boots and (overview := self.overview())["boot"]["finished_s"] is not None:
                    self.boots.append(boot)
                    return overview
            return None

        try:
            return wait(up, PATIENCE, 1.5)
        except TimeoutError as error:
            raise AssertionError(f"no new boot answered:\n{self.machine.console[-3000:]}") from error

    # --- SSH ---

    def ssh(self, *words: str, user: str = "admin") -> subprocess.CompletedProcess[str]:
        """Run the real ssh, with the test's key; `words` are options and the command."""
        assert self.key is not None
        command = [*SSH, "-i", str(self.key), "-p", str(self.machine.port(22)), "-l", user, ADDRESS, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def run(self, script: str, user: str = "admin") -> str:
        """Run a shell script in the guest as root (by sudo), which must succeed; returns what it prints."""
        encoded = base64.b64encode(f"set -eu\n{script}\n".encode()).decode()
        done = self.ssh(*self._kept_open(user), f"echo {encoded} | base64 -d | sudo sh", user=user)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def _kept_open(self, user: str) -> tuple[str, ...]:
        """Options that use one connection for all of a boot: a new one costs an emulated machine seconds."""
        if self.connections is None:
            return ()
        return (
            "-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", "ServerAliveInterval=20",
            "-o", f"ControlPath={self.connections}/{len(self.boots)}-{user}",
        )  # fmt: skip

    # --- power ---

    def power_on(self) -> Any:  # noqa: ANN401  # The device's JSON.
        """Switch the machine on; returns the new boot's overview."""
        self.machine.power_on()
        return self.wait_for_boot()

    def power_off(self) -> None:
        """Power off in order, by the power button."""
        assert self.machine.shut_down(PATIENCE), "it did not power off by itself"

    # --- the disk, from outside ---

    def table(self) -> gpt.Table:
        """The disk's partition table, which must be whole in both copies."""
        with self.disk.open("rb") as disk:

            def read(offset: int, size: int) -> bytes:
                disk.seek(offset)
                return disk.read(size)

            return gpt.read(read, self.disk.stat().st_size // SECTOR).table

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data partition."""
        with self.disk.open("rb") as disk:
            disk.seek(self.table().named("data").offset + offset)
            return disk.read(size)

    def write(self, offset: int, content: bytes) -> None:
        """Change bytes of the data partition; the power must be off."""
        assert not self.machine.running
        with self.disk.open("r+b") as disk:
            disk.seek(self.table().named("data").offset + offset)
            disk.write(content)

    def repair(self) -> None:
        """Check data and play its journal back, as a workstation would; the power must be off."""
        assert not self.machine.running
        place = f"{self.disk}?offset={self.table().named('data').offset}"
        done = run(["e2fsck", "-p", place], check=False)
        assert done.returncode in (0, 1), done

    def debugfs(self, *commands: str) -> str:
        """Change the file system of data behind the device's back; the power must be off."""
        assert not self.machine.running
        place = f"{self.disk}?offset={self.table().named('data').offset}"
        script = "".join(f"{command}\n" for command in commands).encode()
        return run(["debugfs", "-w", "-f", "-", place], stdin=script).stdout


def authorization(password: str | None) -> dict[str, str]:
    """The header that proves a password; nothing without one."""
    if password is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"ovenbird:{password}".encode()).decode()}


_Found = TypeVar("_Found")


def wait(what: Callable[[], _Found | None], seconds: float, every: float = 0.7) -> _Found:
    """Wait until `what()` is something, and return it. Raises TimeoutError.

    Not more often than it takes: a guest that is asked spends its one processor on the answers.
    """
    end = time.monotonic() + seconds
    while True:
        if found := what():
            return found
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(every)


def forward(*ports: int) -> tuple[Forward, ...]:
    """A port of this machine for each of the guest's, from a range that this test process has for itself: a guest whose
    power is off for a while finds them free again.
    """
    start = 12_000 + 10_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    found: list[Forward] = []
    for port in ports:
        found.append(Forward(free_port(start + port, (one.host for one in found)), port))
    return tuple(found)


@contextmanager
def guest(
    image: Path,
    folder: Path,
    *,
    boot: Boot = Boot.BIOS,
    password: str | None = None,
    key: Path | None = None,
    extra: Sequence[str] = (),
    disk: str | None = None,
    ports: Sequence[int] = (),
    start: bool = True,
) -> Generator[Guest]:
    """A device with a disk of its own, made in `folder` from the image in the folder `image`.

    By BIOS where nothing is said: emulated, UEFI costs four seconds more a boot. `disk` is another device than the
    board's to carry the disk, `ports` are further ones of the guest's. Its first boot is answered when it is given.
    """
    virtual = board(load_manifest((image / "manifest.json").read_bytes()).image.board).virtual
    if disk:
        # The disk is plugged in before the board's further devices, so its bus has to be the machine's own.
        usb = ",usb=on" if disk.startswith("usb") else ""
        virtual = replace(virtual, disk=disk, machine=virtual.machine + usb)
    settings = Settings(
        virtual,
        boot=boot,
        forwards=forward(80, 22, *ports),
        credentials={"ovenbird.password": password} if password else {},
        extra=tuple(extra),
    )
    with (
        tempfile.TemporaryDirectory() as connections,
        Machine(
            settings, [image / "disk.img"], keep=folder / "disk.img", accelerated=Accelerator.TCG, start=start
        ) as machine,
    ):
        device = Guest(machine, folder / "disk.img", password, key, connections=Path(connections))
        if start:
            device.wait_for_boot()
        yield device


def shown_passwords(console: str) -> list[str]:
    """The passwords that a console showed, each time it did."""
    return re.findall(r"with password: +([a-z]{5}-[a-z]{5}-[a-z]{5})", console)
