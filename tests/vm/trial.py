"""A device whose slot b was prepared from outside: what is in it, and what the selector is to do, is the test's choice.

An upload would take longer and prove the same; other tests make updates from end to end. The device has been through
one good boot of slot a, so it knows what a working network is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovenbird.boards import board
from ovenbird.files import copy_sparse
from ovenbird.image.boot import write_boot
from ovenbird.run import run
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from ovenbird.vm.machine import Machine
from ovenbird_device.format import fat, gpt, selector
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import Slot, State

PATIENCE = 1500.0  # seconds for a trial and the boot after it, on a busy machine
MIB = 1 << 20
SKIPPING = ("-icount", "shift=2,sleep=off")
"""A machine whose clock is its own work, 4 ns an instruction, and which skips what it would wait: a deadline then does
not depend on how busy the host is, and costs no time. It works slower: for those that wait for minutes.
"""
UP = r"ovenbird-health: slot {} is up after"


@dataclass(frozen=True)
class Image:
    """A built image, in its folder."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root image."""
        return self.folder / "root.squashfs"

    def write_boot(
        self, out: Path, *words: str, root: Path | None = None, kernel: Path | None = None, initrd: Path | None = None
    ) -> None:
        """A boot partition with these further words, and other files if given."""
        digest = hashlib.sha256((root or self.root).read_bytes()).hexdigest()
        line = [word for word in boot_line(self.folder / "boot.vfat") if not word.startswith("ovenbird.hash=")]
        write_boot(
            out,
            kernel=kernel or self.folder / "kernel",
            initrd=initrd or self.folder / "initrd",
            cmdline=" ".join([*line, f"ovenbird.hash=sha256:{digest}", *words]),
            size=(self.folder / "boot.vfat").stat().st_size,
            epoch=0,
        )


@dataclass
class Patient:
    """The disk of a device, with its power off."""

    image: Image
    disk: Path
    console: str = field(default="", init=False)

    def _table(self) -> gpt.Table:
        with self.disk.open("rb") as disk:
            return gpt.read(
                lambda offset, size: os.pread(disk.fileno(), size, offset), self.disk.stat().st_size // SECTOR
            ).table

    def write(self, name: str, content: Path, offset: int = 0) -> None:
        """Write a file into a partition."""
        with self.disk.open("r+b") as disk, content.open("rb") as source:
            place = self._table().named(name).offset + offset
            while part := source.read(4 * MIB):
                place += os.pwrite(disk.fileno(), part, place)

    def _copies(self) -> list[int]:
        place = self._table().named("select").offset
        with self.disk.open("rb") as disk:
            volume = fat.Volume(lambda offset, size: os.pread(disk.fileno(), size, place + offset))
            return [place + volume.find(path).extents[0].offset for path in selector.COPIES]

    @property
    def state(self) -> State:
        """The selector's."""
        with self.disk.open("rb") as disk:
            first, second = (os.pread(disk.fileno(), 1024, offset) for offset in self._copies())
        assert first == second
        return selector.decode_one(first)

    @state.setter
    def state(self, state: State) -> None:
        with self.disk.open("r+b") as disk:
            for offset in self._copies():
                os.pwrite(disk.fileno(), selector.encode(state), offset)

    def prepare(self, folder: Path, *words: str, root: Path | None = None, tries: int = 1, **files: Path) -> None:
        """Fill slot b and arm its trial."""
        boot = folder / "boot-b.vfat"
        self.image.write_boot(boot, *words, root=root, **files)
        self.write("boot-b", boot)
        self.write("root-b", root or self.image.root)
        self.state = State().arm(Slot.B, tries)

    def debugfs(self, *commands: str) -> str:
        """Work in the file system of data."""
        place = f"{self.disk}?offset={self._table().named('data').offset}"
        return run(["debugfs", "-w", "-f", "-", place], stdin="".join(f"{one}\n" for one in commands).encode()).stdout

    def trials(self) -> list[Mapping[str, Any]]:
        """What the device has put on record, oldest first."""
        names = sorted(set(re.findall(r"\b(\d{4})\b", self.debugfs("ls -p /ovenbird/trials"))))
        found: list[Mapping[str, Any]] = []
        for name in names:
            text = self.debugfs(f"cat /ovenbird/trials/{name}/trial.json")
            if match := re.search(r"^\{.*\}$", text, re.MULTILINE):
                found.append(json.loads(match[0]))
        return found

    @contextmanager
    def boot(self, *extra: str) -> Generator[Machine]:
        """Switch it on; leaving cuts the power."""
        settings = Settings(
            board("vm").virtual,
            boot=Boot.BIOS,
            credentials={"ovenbird.password": "x" * 12},
            extra=("-device", "i6300esb", *extra),
        )
        with Machine(settings, [self.disk], keep=self.disk, growth=0, accelerated=Accelerator.TCG) as machine:
            try:
                yield machine
            finally:
                self.console = machine.console

    def until_up(self, slot: str, *extra: str, orderly: bool = False, patience: float = PATIENCE) -> None:
        """Switch it on and leave it alone until the system in this slot has judged itself well; then switch it off, or
        pull the plug. Its data can be read afterwards.
        """
        with self.boot(*extra) as machine:
            machine.wait_for(UP.format(slot), patience)
            if orderly:
                assert machine.shut_down(120)
        self._recover()

    def _recover(self) -> None:
        """Replay the journal of data, as the next boot would. Aside, since e2fsck opens anew what it has recovered, and
        has forgotten the offset by then.
        """
        data = self._table().named("data")
        aside = self.disk.with_suffix(".data")
        with self.disk.open("rb") as disk, aside.open("wb") as out:
            for place in range(0, data.size, MIB):
                out.write(os.pread(disk.fileno(), min(MIB, data.size - place), data.offset + place))
        checked = run(["e2fsck", "-p", aside], check=False)
        assert checked.returncode in (0, 1), checked.stdout
        self.write("data", aside)
        aside.unlink()


def boot_line(boot: Path) -> list[str]:
    """The words of a boot partition's command line."""
    with boot.open("rb") as stream:
        volume = fat.Volume(lambda offset, size: os.pread(stream.fileno(), size, offset))
        return volume.read(volume.find("cmdline.txt")).decode("ascii").split()


def make_patient(image: Image, out: Path) -> None:
    """A device after its first good boot, as a disk image that the tests copy."""
    beside = out.with_name(f".{out.name}.new")
    copy_sparse(image.folder / "disk.img", beside)
    patient = Patient(image, beside)
    patient.until_up("a", orderly=True)
    assert "network-before.json" in patient.debugfs("ls -p /ovenbird")
    beside.replace(out)
