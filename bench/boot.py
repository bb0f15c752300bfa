"""From the kernel's start to the root switch: our initrd beside the one that Debian's own tools make.

The same kernel, the same disk, the same words for the kernel, in turns; QEMU loads kernel and initrd itself, so that no
boot loader is in the times. The root has /bin/true for its init, which ends at once: the kernel says so with its stamp
just after the switch. Every boot is of the same disk: one that has booted before, so that its data partition is filled,
and that was left in order, as after a shutdown.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from bench.measure import HELLO, OVENBIRD, Report, median, timed
from ovenbird.base.sources import source_lines
from ovenbird.boards import board
from ovenbird.build.job import Request, plan_for
from ovenbird.progress import QuietProgress
from ovenbird.run import run
from ovenbird.vm.command import Boot, Kernel, Settings
from ovenbird.vm.machine import Machine
from ovenbird_device.format import gpt
from ovenbird_device.format.sectors import SECTOR

ROUNDS = 3
FIRST_LINE = re.compile(r"\[\s*([0-9.]+)\] Run /init as init process")
SWITCHED = re.compile(r"\[\s*([0-9.]+)\] Kernel panic - not syncing: Attempted to kill init")


def measure() -> Report:
    """Measure, in turns."""
    report = Report("boot: kernel start to root switch, beside Debian's initramfs-tools")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        out = folder / "out"
        timed([OVENBIRD, "build", HELLO, "--out", out])
        theirs = _stock_initrd(folder)
        report.add("our initrd", (out / "initrd").stat().st_size / 1e6, "MB")
        report.add("stock initrd", theirs.stat().st_size / 1e6, "MB")
        disk = _used_disk(out, folder / "used.img")
        times: dict[str, list[tuple[float, float]]] = {"ours": [], "stock": []}
        for _ in range(ROUNDS):
            times["ours"].append(_boot(disk, out / "kernel", out / "initrd"))
            times["stock"].append(_boot(disk, out / "kernel", theirs))
        for who, seen in times.items():
            report.add(f"{who}: kernel start to switch", median([switch for _, switch in seen]))
            report.add(f"{who}: initrd's first line to switch", median([switch - first for first, switch in seen]))
        pairs = list(zip(times["ours"], times["stock"], strict=True))
        report.add("kernel start to switch, ours / stock", median([a[1] / b[1] for a, b in pairs]), "times", 0.4)
        inside = median([(a[1] - a[0]) / (b[1] - b[0]) for a, b in pairs])
        report.add("first line to switch, ours / stock", inside, "times", 0.2)
    return report


def _stock_initrd(folder: Path) -> Path:
    """What initramfs-tools make of the same kernel package, with its standard settings (all usual modules)."""
    plan, _ = plan_for(Request(HELLO), QuietProgress())
    exact = [
        f"{package.name}={package.version}" for package in plan.kernel_packages if package.name.startswith("linux-")
    ]
    tree = folder / "stock"
    run(
        [
            "mmdebstrap", "--variant=apt", "--format=directory",
            f"--include={','.join([*exact, 'initramfs-tools', 'zstd'])}",
            plan.loaded.recipe.base.release, tree, *source_lines(plan.loaded.recipe.base),
        ],
        what="the tree for the stock initrd",
    )  # fmt: skip
    return next((tree / "boot").glob("initrd.img-*"))


def _used_disk(out: Path, used: Path) -> Path:
    """The image's disk after its first boot, with the data partition in order."""
    with _machine(out / "disk.img", out / "kernel", out / "initrd") as machine:
        machine.wait_for(SWITCHED.pattern, 240)
        machine.power_cut()
        machine.export_disk(used)
    data = _table(used).named("data")
    run(["e2fsck", "-p", f"{used}?offset={data.offset}"], check=False, what="the check of the data partition")
    return used


def _boot(disk: Path, kernel: Path, initrd: Path) -> tuple[float, float]:
    """Boot once; seconds since the kernel's start at the initrd's first line and at the root's own init."""
    with _machine(disk, kernel, initrd) as machine:
        switched = machine.wait_for(SWITCHED.pattern, 240)
        first = FIRST_LINE.search(machine.console)
        if first is None:
            raise SystemExit("the guest's kernel does not tell when it ran the initrd")
        return float(first[1]), float(switched[1])


def _machine(disk: Path, kernel: Path, initrd: Path) -> Machine:
    table = _table(disk)
    root, data = (str(table.named(name).uuid) for name in ("root-a", "data"))
    words = [
        "console=ttyS0,115200", "loglevel=7", "gpt", "init=/bin/true", "ro", "rootfstype=squashfs",
        f"root=PARTUUID={root}", f"ovenbird.root=PARTUUID={root}", f"ovenbird.data=PARTUUID={data}", "ovenbird.slot=a",
    ]  # fmt: skip
    settings = Settings(board("vm").virtual, boot=Boot.KERNEL, kernel=Kernel(kernel, initrd, " ".join(words)))
    return Machine(settings, [disk])


def _table(disk: Path) -> gpt.Table:
    with disk.open("rb") as stream:
        number = stream.fileno()
        read = gpt.read(lambda offset, size: os.pread(number, size, offset), disk.stat().st_size // SECTOR)
    return read.table
