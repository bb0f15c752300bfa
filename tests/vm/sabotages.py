"""What is done to a device's slot b in the sabotage tests, by name, and what must be seen of it afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ovenbird.run import run
from ovenbird_device.format.selector import ATTEMPTS, Slot, State
from tests.vm.trial import SKIPPING, Patient, boot_line

Prepare = Callable[[Patient, Path], None]


@dataclass(frozen=True)
class Sabotage:
    """What is broken, what the console shows of it, and what the device says afterwards."""

    prepare: Prepare
    console: str
    outcome: str = "lost"
    reason: str = "none of its boots came far enough"
    waits: bool = False
    """Whether it takes minutes until the device gives it up."""


def word(*words: str) -> Prepare:
    return lambda patient, folder: patient.prepare(folder, *words)


def garbage_kernel(patient: Patient, folder: Path) -> None:
    (folder / "kernel").write_bytes(os.urandom(4 << 20))
    patient.prepare(folder, kernel=folder / "kernel", tries=2)


def truncated_initrd(patient: Patient, folder: Path) -> None:
    content = (patient.image.folder / "initrd").read_bytes()
    (folder / "initrd").write_bytes(content[: len(content) // 2])
    patient.prepare(folder, initrd=folder / "initrd")


def corrupt_root(patient: Patient, folder: Path) -> None:
    """One bit in the middle: mounting would not notice."""
    patient.prepare(folder)
    middle = patient.image.root.stat().st_size // 2
    with patient.image.root.open("rb") as stream:
        byte = os.pread(stream.fileno(), 1, middle)
    (folder / "byte").write_bytes(bytes([byte[0] ^ 0x10]))
    patient.write("root-b", folder / "byte", middle)


def no_init(patient: Patient, folder: Path) -> None:
    tree = folder / "tree"
    for name in ("proc", "sys", "dev", "run", "data", "etc", "var", "sbin"):
        (tree / name).mkdir(parents=True)
    run(["mksquashfs", tree, folder / "root", "-quiet", "-no-progress", "-comp", "zstd", "-all-root"])
    patient.prepare(folder, root=folder / "root")


def broken_etc(patient: Patient, folder: Path) -> None:
    """The slot's own layer of /etc is rubbish: no users, a target that is not there, a mount that never comes."""
    patient.prepare(folder)
    line = next(word for word in boot_line(folder / "boot-b.vfat") if word.startswith("ovenbird.hash=")).partition("=")[
        2
    ]
    files = {
        "content": f"{line}\n",
        "fstab": "/dev/disk/by-label/nowhere /srv ext4 defaults 0 2\n",
        "passwd": "rubbish\n",
        "ovenbird": "a file where a folder should be\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    patient.debugfs(
        "mkdir /slots/b", "mkdir /slots/b/work", "mkdir /slots/b/etc", "mkdir /slots/b/etc/systemd",
        "mkdir /slots/b/etc/systemd/system", "symlink /slots/b/etc/systemd/system/default.target /nowhere.target",
        f"write {folder}/content /slots/b/content", f"write {folder}/fstab /slots/b/etc/fstab",
        f"write {folder}/passwd /slots/b/etc/passwd", f"write {folder}/ovenbird /slots/b/etc/ovenbird",
    )  # fmt: skip


ROLLED = "rolled-back"
SABOTAGES = {
    "kernel-panics": Sabotage(word("sabotage=panic"), r"Kernel panic|end Kernel panic"),
    "kernel-hangs": Sabotage(
        word("sabotage=hang", "panic=0", "ovenbird.watchdog=30"), r"Kernel panic|end Kernel panic", waits=True
    ),
    "garbage-kernel": Sabotage(garbage_kernel, r"b does not start"),
    "truncated-initrd": Sabotage(truncated_initrd, r"Kernel panic"),
    "corrupt-root": Sabotage(corrupt_root, r"it has other content"),
    "no-init": Sabotage(no_init, r"has no /sbin/init"),
    "broken-etc": Sabotage(broken_etc, r"slot b starts", waits=True),
    "agent-crashes": Sabotage(word("sabotage=agent"), r"the trial failed", ROLLED, "agent: ", waits=True),
    "failed-unit": Sabotage(
        word("sabotage=unit"), r"the trial failed", ROLLED, "failed: sabotage-unit.service", waits=True
    ),
    "check-never-ends": Sabotage(word("sabotage=check"), r"the trial failed", ROLLED, "never-ends: ", waits=True),
    "no-network": Sabotage(
        word("sabotage=network"), r"the trial failed", ROLLED, "network: IPv4 has nothing|network:", waits=True
    ),
    "data-full": Sabotage(word("sabotage=data"), r"the trial failed", "", "data: ", waits=True),
    "no-judge": Sabotage(word("sabotage=judge"), r"slot b starts", waits=True),
    "no-timers-either": Sabotage(word("sabotage=timers"), r"the trial did not end in its time", waits=True),
}


def suffer(name: str, patient: Patient, folder: Path) -> None:
    """Do it, and leave the device alone: it must end healthy in its old slot and know what happened."""
    sabotage = SABOTAGES[name]
    sabotage.prepare(patient, folder)
    patient.until_up("a", *(SKIPPING if sabotage.waits else ()))
    assert re.search(sabotage.console, patient.console), patient.console[-6000:]
    assert patient.state == State(attempts=ATTEMPTS, failed=frozenset({Slot.B}))
    if sabotage.outcome:
        (trial,) = patient.trials()
        assert trial["outcome"] == sabotage.outcome
        assert re.search(sabotage.reason, trial["reason"]), trial
