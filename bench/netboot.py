"""From the kernel's start to a login without a disk: our `netboot/` beside Debian's live-boot (`fetch=`).

The same kernel, the same root image from the same server over the same network, in turns; QEMU loads kernel and initrd
itself. The memory in use is what the guest's kernel tells its balloon: all of it without what could be had now, at its
worst moment until a while after the login is there.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.httpd import Answer, serving

from bench.measure import HELLO, OVENBIRD, Report, median, timed
from ovenbird.base.sources import source_lines
from ovenbird.boards import board
from ovenbird.build.job import Request, plan_for
from ovenbird.progress import QuietProgress
from ovenbird.run import run
from ovenbird.vm.command import Boot, Kernel, Settings
from ovenbird.vm.machine import Machine
from ovenbird_device.format import netboot

ROUNDS = 3
PATIENCE = 400.0
SETTLED = 15.0  # seconds after the login in which the memory is still looked at
BALLOON = ("-device", "virtio-balloon-pci,id=balloon")


def measure() -> Report:
    """Measure, in turns."""
    report = Report("netboot: kernel start to login without a disk, beside Debian's live-boot")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        out = folder / "out"
        timed([OVENBIRD, "build", HELLO, "--out", out])
        files = out / netboot.FOLDER
        said = netboot.load((files / netboot.MANIFEST).read_bytes())
        theirs = _live_initrd(folder)
        report.add("our initrd", said.initrd.size / 1e6, "MB", 3.0)
        report.add("live-boot's initrd", theirs.stat().st_size / 1e6, "MB")
        root = (files / said.root.file).read_bytes()
        with serving({"/filesystem.squashfs": [Answer(root)]}) as (port, site, _):
            url = f"http://10.0.2.2:{port}/filesystem.squashfs"
            lines = {
                "ours": f"{said.command_line} ovenbird.root={url}",
                "live-boot": f"{_common(said.command_line)} boot=live components fetch={url} ip=dhcp",
            }
            initrds = {"ours": files / said.initrd.file, "live-boot": theirs}
            seen: dict[str, list[tuple[float, float, float]]] = {"ours": [], "live-boot": []}
            for _ in range(ROUNDS):
                for who, line in lines.items():
                    site.asked.clear()
                    took, memory = _boot(Kernel(files / said.kernel.file, initrds[who], line))
                    moved = sum(one.sent for one in site.asked) + initrds[who].stat().st_size + said.kernel.size
                    seen[who].append((took, memory, moved / 1e6))
        for who, rounds in seen.items():
            report.add(f"{who}: kernel start to login", median([took for took, _, _ in rounds]))
            report.add(f"{who}: memory in use at most", median([memory for _, memory, _ in rounds]), "MB")
            report.add(f"{who}: moved", median([moved for _, _, moved in rounds]), "MB")
        pairs = list(zip(seen["ours"], seen["live-boot"], strict=True))
        for what, number, limit in (("time", 0, 0.6), ("memory", 1, 0.8), ("moved", 2, None)):
            report.add(f"{what}, ours / live-boot", median([a[number] / b[number] for a, b in pairs]), "times", limit)
    return report


def _common(line: str) -> str:
    """The words of our command line that are not ours: consoles and the like."""
    return " ".join(word for word in line.split() if not word.startswith(("ovenbird.", "ip=")))


def _live_initrd(folder: Path) -> Path:
    """What live-boot makes of the same kernel package, with its standard settings."""
    plan, _ = plan_for(Request(HELLO), QuietProgress())
    exact = [
        f"{package.name}={package.version}" for package in plan.kernel_packages if package.name.startswith("linux-")
    ]
    tree = folder / "live"
    packages = [*exact, "initramfs-tools", "live-boot", "live-boot-initramfs-tools", "zstd"]
    base = plan.loaded.recipe.base
    run(
        [
            "mmdebstrap", "--variant=apt", "--format=directory", f"--include={','.join(packages)}",
            base.release, tree, *source_lines(base),
        ],
        what="the tree for live-boot's initrd",
    )  # fmt: skip
    return next((tree / "boot").glob("initrd.img-*"))


def _boot(kernel: Kernel) -> tuple[float, float]:
    """Boot once; the seconds from the kernel's first line to the login, and the megabytes in use at most."""
    settings = Settings(board("vm").virtual, Boot.KERNEL, kernel, memory="1G", extra=BALLOON)
    with Machine(settings, []) as machine:
        machine.wait_for("Linux version|Run /init|ovenbird:|Loading, please wait", PATIENCE)
        begin = time.monotonic()
        machine.wait_for(r" login: *$", PATIENCE)
        took = time.monotonic() - begin
        with machine.control() as control:
            balloon = {"path": "/machine/peripheral/balloon"}
            control.execute("qom-set", **balloon, property="guest-stats-polling-interval", value=1)
            worst, end = 0.0, time.monotonic() + SETTLED
            while time.monotonic() < end:
                time.sleep(1)
                stats = control.execute("qom-get", **balloon, property="guest-stats")["stats"]
                worst = max(worst, (stats["stat-total-memory"] - stats["stat-available-memory"]) / 1e6)
        return took, worst
