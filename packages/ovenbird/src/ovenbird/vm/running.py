"""`ovenbird run`: an image in a virtual machine, from switching it on to its page and back to switched off.

The work is apart from the command line so that the demo and the tests go the same way: `find_target`, then `session`,
then `Session.wait_for_page`.
"""

from __future__ import annotations

import http.client
import re
import secrets
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ovenbird.boards import Board, board
from ovenbird.boards.board import Selector
from ovenbird.errors import ImageError, UsageError
from ovenbird.progress import Progress
from ovenbird.vm import writable as writable_root
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from ovenbird.vm.machine import Machine, MachineError
from ovenbird.vm.network import ADDRESS, Forward, forwards
from ovenbird_device.format.manifest import load_manifest

CREDENTIAL = "ovenbird.password"
USER = "ovenbird"
# What the initrd writes when it hands over: the times of kernel and initrd, in milliseconds.
HANDED_OVER = r"ovenbird: slot (\w+) starts: kernel (\d+) ms, initrd (\d+) ms"
BOOT_PATIENCE = 300.0  # seconds until the page must answer; software emulation on a busy machine is slow
_POLL = 0.1
# Escape sequences of terminals (ECMA-48), and control characters but for the end of a line.
_CONTROL = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()].|[=>78cM])|[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Target:
    """An image that can be run."""

    disk: Path
    board: Board
    name: str
    ssh_user: str | None = None
    """Who may log in by SSH; None if that is not known or nobody may."""

    @property
    def kept(self) -> Path:
        """Where a machine that is kept has its disk."""
        return self.disk.with_name(f"{self.disk.stem}.kept{self.disk.suffix}")

    @property
    def workshop(self) -> Path:
        """Where a machine with a writable root has its disk."""
        return writable_root.place(self.disk)


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a boot went, in seconds."""

    firmware: float  # with the boot loader
    kernel: float
    initrd: float
    system: float  # from the image's own init to the answer of the page

    @property
    def total(self) -> float:
        """From power on to the page."""
        return self.firmware + self.kernel + self.initrd + self.system

    def __str__(self) -> str:
        return (
            f"firmware and boot loader {self.firmware:.1f} s, kernel {self.kernel:.1f} s, "
            f"initrd {self.initrd:.2f} s, system {self.system:.1f} s"
        )


def find_target(path: Path, progress: Progress) -> Target:
    """What is to be run: a disk image, a folder with one, or a recipe, which is built first where it is not.

    Raises UsageError, ImageError, and whatever a build raises.
    """
    ssh_user = None
    if path.suffix == ".toml" or (path / "ovenbird.toml").is_file():
        from ovenbird.build import job

        result = job.build(job.Request(path), progress)
        stages = job.plan_for(job.Request(path), progress)[0].loaded.stages
        ssh_user = next((stage.arguments.get("user") for stage in stages if stage.name == "ssh"), None)
        path = result.out
    disk = path / "disk.img" if path.is_dir() else path
    if not disk.is_file():
        raise UsageError(
            "there is no image and no recipe",
            where=str(path),
            hint="name a recipe's folder, or an image: ovenbird run out/disk.img",
        )
    manifest = disk.with_name("manifest.json")
    if disk.name == "disk.img" and manifest.is_file():
        image = load_manifest(manifest.read_bytes()).image
        return Target(disk, board(image.board), image.name, ssh_user)
    from ovenbird.image.reading.contents import inspect

    contents = inspect(disk)
    for slot in contents.slots:
        if slot.root is not None and slot.root.image is not None:
            return Target(disk, board(slot.root.image.board), slot.root.image.name)
    raise ImageError("is not a disk image of Ovenbird's", where=str(disk))


@dataclass(frozen=True, slots=True)
class Session:
    """A machine that runs a target, and what one needs to get in."""

    target: Target
    machine: Machine
    password: str
    writable: bool = False

    @property
    def url(self) -> str:
        """The device's page."""
        return self.machine.url(80)

    @property
    def ssh_command(self) -> str:
        """How to log in; the host's key is another one at each throw-away boot, so it is not remembered."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        return f"ssh {options} -p {self.machine.port(22)} {self.target.ssh_user or 'USER'}@{ADDRESS}"

    def introduction(self) -> list[str]:
        """What is about to run, in lines for people."""
        settings, machine = self.machine.settings, self.machine
        how = "KVM" if machine.accelerator is Accelerator.KVM else "software emulation, as KVM does not work here"
        kept = self.target.workshop if self.writable else self.target.kept
        disk = f"kept in {kept}" if machine.keeps else "thrown away at the end"
        ports = ", ".join(f"{forward.host} -> {forward.guest}" for forward in settings.forwards)
        lines = [
            f"{self.target.name} on {self.target.board.name}, by {settings.boot.upper()}, with {how}",
            f"disk: {disk}; ports: {ports}; console: {machine.files.log}",
        ]
        return (
            [*lines, "THE ROOT IS WRITABLE: all that is changed there stays on that disk"] if self.writable else lines
        )

    def instructions(self, timings: Timings) -> list[str]:
        """How to reach the device, in lines for people."""
        return [
            f"up after {timings.total:.1f} s ({timings})",
            "",
            f"  page      {self.url}",
            f"  user      {USER}",
            f"  password  {self.password}",
            f"  ssh       {self.ssh_command}",
            *(
                [f"  root      writable; when it is off: ovenbird capture {self.target.workshop}"]
                if self.writable
                else ()
            ),
            "",
            "Ctrl-C shuts it down.",
        ]

    def answers(self) -> bool:
        """Whether the device's page answers now."""
        connection = http.client.HTTPConnection(ADDRESS, self.machine.port(80), timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_for_page(self, progress: Progress, timeout: float = BOOT_PATIENCE) -> Timings:
        """Show the boot's progress until the page answers, and tell where the time went. Raises MachineError."""
        deadline = self.machine.started + timeout
        with progress.step("firmware, boot loader, kernel") as step:
            found = None
            while found is None:
                try:
                    found = self.machine.wait_for(HANDED_OVER, _POLL)
                except MachineError:
                    if not self.machine.running or time.monotonic() > deadline:
                        raise
                    step.line(last_line(self.machine.console))
            handed_over = time.monotonic()
        kernel, initrd = (int(found[number]) / 1000 for number in (2, 3))
        with progress.step("system") as step:
            while not self.answers():
                if not self.machine.running:
                    self.machine.wait_for("(?!)", 0)  # Raises with the console's last lines.
                if time.monotonic() > deadline:
                    self.machine.wait_for("(?!)", 0)
                step.line(last_line(self.machine.console))
                time.sleep(_POLL)
            answered = time.monotonic()
        firmware = max(0.0, handed_over - self.machine.started - kernel - initrd)
        return Timings(firmware, kernel, initrd, answered - handed_over)

    def wait_until_off(self) -> None:
        """Wait until the guest has powered itself off."""
        while not self.machine.wait_off(1.0):
            pass


def last_line(console: str) -> str:
    """The last line of a console that says something, without its colours and cursor movements."""
    plain = _plain(console[-4000:])
    return next((line.strip() for line in reversed(plain.splitlines()) if line.strip()), "")


def _plain(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r", "\n"))


@contextmanager
def session(
    target: Target,
    *,
    bios: bool = False,
    keep: bool = False,
    writable: bool = False,
    memory: str | None = None,
    ports: Iterable[Forward] = (),
    display: bool = False,
    password: str | None = None,
) -> Generator[Session]:
    """Switch a target on; leaving the context cuts the power. Raises UsageError, HostError, MachineError.

    With `keep` its disk is kept. With `writable` its whole root can be changed, on a disk of its own that is kept too.
    """
    if target.board.selector is Selector.AUTOBOOT:
        raise UsageError(
            f"the board {target.board.name} boots by its own firmware, which QEMU does not have",
            hint="write the image onto a card: ovenbird flash",
        )
    if bios and not target.board.bios:
        raise UsageError(f"the board {target.board.name} has no BIOS", hint="leave out --bios: it boots by UEFI")
    if writable and (bios or keep):
        raise UsageError(
            "--writable boots the kernel itself and keeps a disk of its own", hint="leave out --bios and --keep"
        )
    password = password or secrets.token_hex(6)
    settings = Settings(
        target.board.virtual,
        boot=Boot.BIOS if bios else Boot.UEFI,
        memory=memory,
        forwards=forwards(ports),
        credentials={CREDENTIAL: password},
        display=display,
    )
    if not writable:
        with Machine(settings, [target.disk], keep=target.kept if keep else None) as machine:
            yield Session(target, machine, password)
        return
    disk = target.workshop
    with writable_root.direct(disk if disk.exists() else target.disk, target.board, writable_root.WORD) as kernel:
        settings = replace(settings, boot=Boot.KERNEL, kernel=kernel)
        with Machine(settings, [target.disk], keep=disk, growth=writable_root.GROWTH) as machine:
            yield Session(target, machine, password, writable=True)
