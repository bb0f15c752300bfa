"""Every way to break an update that we could think of, each a real boot: the device ends healthy in its old slot.


Slot b gets the same system as slot a with something wrong; nobody touches the machine. It must come up in slot a, judge
itself well there, and remember what happened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird.run import run
from ovenbird.vm.machine import copy_sparse
from ovenbird_device.format.selector import ATTEMPTS, Slot, State
from tests.tool import OUTPUT, ROOT, Tool
from tests.vm.trial import PATIENCE, UP, Image, Patient, make_patient

pytestmark = pytest.mark.vm

RECIPE = ROOT / "tests/vm/recipes/trial"
Prepare = Callable[[Patient, Path], None]


@pytest.fixture(scope="session")
def image(tool: Tool) -> Image:
    """The image whose systems can be broken by a word on the command line."""
    out = OUTPUT / "trial"
    tool.build(RECIPE, "--out", out)
    return Image(out)


@pytest.fixture(scope="session")
def base(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device after its first good boot."""
    out = tmp_path_factory.mktemp("trial") / "disk.img"
    make_patient(image, out)
    return out


@pytest.fixture
def patient(image: Image, base: Path, tmp_path: Path) -> Patient:
    """A copy of it to be broken."""
    copy_sparse(base, tmp_path / "disk.img")
    return Patient(image, tmp_path / "disk.img")


@dataclass(frozen=True)
class Sabotage:
    """What is broken, what the console shows of it, and what the device says afterwards."""

    prepare: Prepare
    console: str
    outcome: str = "lost"
    reason: str = "none of its boots came far enough"


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
    line = next(word for word in _boot_line(folder / "boot-b.vfat") if word.startswith("ovenbird.hash=")).partition(
        "="
    )[2]
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


def _boot_line(boot: Path) -> list[str]:
    from ovenbird_device.format import fat

    with boot.open("rb") as stream:
        volume = fat.Volume(lambda offset, size: os.pread(stream.fileno(), size, offset))
        return volume.read(volume.find("cmdline.txt")).decode("ascii").split()


ROLLED = "rolled-back"
SABOTAGES = {
    "kernel-panics": Sabotage(word("sabotage=panic"), r"Kernel panic|end Kernel panic"),
    "kernel-hangs": Sabotage(word("sabotage=hang", "panic=0"), r"Kernel panic|end Kernel panic"),
    "garbage-kernel": Sabotage(garbage_kernel, r"b does not start"),
    "truncated-initrd": Sabotage(truncated_initrd, r"Kernel panic"),
    "corrupt-root": Sabotage(corrupt_root, r"it has other content"),
    "no-init": Sabotage(no_init, r"has no /sbin/init"),
    "broken-etc": Sabotage(broken_etc, r"slot b starts"),
    "agent-crashes": Sabotage(word("sabotage=agent"), r"the trial failed", ROLLED, "agent: "),
    "failed-unit": Sabotage(word("sabotage=unit"), r"the trial failed", ROLLED, "failed: sabotage-unit.service"),
    "check-never-ends": Sabotage(word("sabotage=check"), r"the trial failed", ROLLED, "never-ends: "),
    "no-network": Sabotage(word("sabotage=network"), r"the trial failed", ROLLED, "network: IPv4 has nothing|network:"),
    "data-full": Sabotage(word("sabotage=data"), r"the trial failed", "", "data: "),
    "no-judge": Sabotage(word("sabotage=judge"), r"slot b starts"),
    "no-timers-either": Sabotage(word("sabotage=timers"), r"the trial did not end in its time"),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_ends_in_the_old_slot(name: str, patient: Patient, tmp_path: Path) -> None:
    sabotage = SABOTAGES[name]
    sabotage.prepare(patient, tmp_path)
    patient.until_up("a", orderly=True)
    assert re.search(sabotage.console, patient.console), patient.console[-6000:]
    assert patient.state == State(attempts=ATTEMPTS, failed=frozenset({Slot.B}))
    if sabotage.outcome:
        (trial,) = patient.trials()
        assert trial["outcome"] == sabotage.outcome
        assert re.search(sabotage.reason, trial["reason"]), trial


def test_a_good_one_is_committed_and_stays(patient: Patient, tmp_path: Path) -> None:
    patient.prepare(tmp_path, tries=3)
    with patient.boot() as machine:
        machine.wait_for(r"ovenbird-health: slot b is committed", PATIENCE)
        machine.shut_down(120)
        assert patient.state == State(active=Slot.B, good=frozenset(Slot))
        machine.power_on()
        machine.wait_for(UP.format("b"), PATIENCE)
    assert patient.trials()[0]["outcome"] == "committed"


def test_a_committed_one_that_fails_later_falls_back(patient: Patient, tmp_path: Path) -> None:
    garbage_kernel(patient, tmp_path)
    patient.state = State(active=Slot.B, attempts=2, good=frozenset(Slot))
    patient.until_up("a")
    assert patient.console.count("b does not start") == 2
    assert patient.state == State(active=Slot.A, failed=frozenset({Slot.B}))
