"""One device's life, recorded: updates, boots, commits, a rollback, a trial that is never committed, a bad bundle.

Everything is done by the code that a device runs, on a real disk image; only GRUB's part (decide, count, write) is
played by `reader`. For each phase the story says which systems may be booted if the power fails anywhere in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird_device.format.selector import Slot
from ovenbird_device.slots.manage import Slots
from ovenbird_device.update.installer import Installer
from ovenbird_device.update.policy import Wishes
from ovenbird_device.update.snapshot import UpdateError
from tests.crash import reader
from tests.crash.trace import SECTOR, Trace, Write
from tests.updates import Device, System, device, system, terms

CHUNK = 64 * 1024
"""Bytes of one write of the installer here: many small writes have more crash points than few large ones."""

Boot = tuple[str, str, bool]
"""Slot, version, and whether it is a trial."""


@dataclass(frozen=True)
class Story:
    """The device before, what was written to it, and what each phase allows."""

    base: bytes
    device: Device
    trace: Trace
    systems: Mapping[str, System]
    allowed: Mapping[str, frozenset[Boot]]

    def places(self) -> dict[str, int]:
        """Where the partitions begin."""
        return {one.name: one.offset for one in self.device.layout.table.partitions}

    def end(self) -> int:
        """Behind the last byte that anything of this may touch or read."""
        root = self.device.layout.partition("root-b")
        return root.offset + root.size


class Teller:
    """Writes a story."""

    def __init__(self, folder: Path) -> None:
        self.systems = {one: system(folder / "systems", one) for one in ("1.0", "2.0", "3.0", "4.0", "5.0")}
        self.device = device(folder / "device", self.systems["1.0"])
        self.trace = Trace()
        self.allowed: dict[str, frozenset[Boot]] = {}

    def phase(self, name: str, *boots: Boot) -> None:
        """From here on, these may be booted after a power cut."""
        self.trace.phase(name)
        self.allowed[name] = frozenset(boots)

    def slots(self) -> Slots:
        slots = self.device.slots()
        slots.disk = self.trace.over(slots.disk)
        return slots

    def update(self, version: str, *, spoilt: bool = False) -> None:
        """Install a version by the real installer; `spoilt`: one byte of its root is wrong."""
        bundle = self.systems[version].bundle
        if spoilt:
            raw = bytearray(bundle.read_bytes())
            raw[-5000] ^= 1
            bundle = bundle.with_suffix(".spoilt")
            bundle.write_bytes(raw)
        installer = Installer(self.slots(), terms(), lambda _: None, chunk=CHUNK)
        with bundle.open("rb") as source:
            if spoilt:
                with pytest.raises(UpdateError, match="not what was signed"):
                    installer.install(source, Wishes(allow_downgrade=True))
            else:
                installed = installer.install(source, Wishes(allow_downgrade=True))
                self.device.systems[installed.slot] = self.systems[version]

    def boot(self) -> tuple[str, bool]:
        """GRUB decides and counts. Its writes reach the disk one after the other; nobody flushes them."""
        places = {one.name: one.offset for one in self.device.layout.table.partitions}
        with self.device.disk.open("r+b") as disk:

            def read(offset: int, size: int) -> bytes:
                return os.pread(disk.fileno(), size, offset)

            grub = reader.Selector.of(read, places)
            slot, trial = grub.boot()
            for name, values in zip(("grub/grubenv", "grub/grubenv2"), grub.copies, strict=True):
                file = reader.find(read, places["select"], name)
                assert file is not None
                assert values is not None
                at = file.pieces[0]
                block = reader.changed(read(at, SECTOR), values)
                self.trace.steps.append(Write("select", at, block))
                os.pwrite(disk.fileno(), block, at)
        self.device.running, self.device.trial = Slot(slot), trial
        return slot, trial


def tell(folder: Path) -> Story:
    """The whole story."""
    t = Teller(folder)
    layout = t.device.layout
    base = t.device.disk.read_bytes()[: layout.partition("root-b").offset + layout.partition("root-b").size]
    old, new = ("a", "1.0", False), ("b", "2.0", False)

    t.phase("a runs", old)
    assert t.boot() == ("a", False)
    t.phase("update to 2.0 in b", old, ("b", "2.0", True))
    t.update("2.0")
    t.phase("trial of 2.0", old, ("b", "2.0", True))
    assert t.boot() == ("b", True)
    t.phase("commit of 2.0", old, ("b", "2.0", True), new)
    t.slots().commit()
    t.phase("2.0 runs", old, new)
    assert t.boot() == ("b", False)
    t.slots().commit()
    third = ("a", "3.0", True)
    t.phase("update to 3.0 in a", old, new, third)
    t.update("3.0")
    t.phase("trial of 3.0", new, third)
    assert t.boot() == ("a", True)
    t.phase("rollback of 3.0", new, third)
    t.slots().rollback()
    t.phase("2.0 runs again", new)
    assert t.boot() == ("b", False)
    t.slots().commit()
    t.phase("update to 4.0 in a", new, ("a", "4.0", True))
    t.update("4.0")
    t.phase("4.0 never reports", new, ("a", "4.0", True))
    for tries in (2, 1, 0):
        assert t.boot() == ("a", True), tries
    assert t.boot() == ("b", False)
    t.slots().commit()
    t.phase("a bad bundle of 5.0", new)
    t.update("5.0", spoilt=True)
    t.phase("2.0 runs on", new)
    assert t.boot() == ("b", False)
    t.slots().commit()
    t.phase("update to 5.0 in a", new, ("a", "5.0", True))
    t.update("5.0")
    t.phase("commit of 5.0", new, ("a", "5.0", True), ("a", "5.0", False))
    assert t.boot() == ("a", True)
    t.slots().commit()
    t.phase("5.0 runs", new, ("a", "5.0", False))
    assert t.boot() == ("a", False)
    return Story(base, t.device, t.trace, t.systems, t.allowed)
