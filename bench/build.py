"""Builds beside `mmdebstrap` alone: from nothing to a bootable disk, after one changed file, and with no change at all.

Both sides of the cold comparison install exactly the same packages from package lists and downloads of their own: every
run begins with an empty cache and fetches all of it. Ours additionally fetches the kernel and makes the disk.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from bench.measure import HELLO, OVENBIRD, Report, median, timed
from ovenbird.base.debian import START, base_packages
from ovenbird.base.sources import source_lines
from ovenbird.boards import board
from ovenbird.build import device
from ovenbird.recipe.load import load

ROUNDS = 2


def measure() -> Report:
    """Measure, in turns."""
    report = Report("build: examples/hello, beside mmdebstrap alone with the same packages")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        project = folder / "hello"
        shutil.copytree(HELLO, project, ignore=shutil.ignore_patterns("out"))
        alone = _mmdebstrap(project, folder / "alone.tar")
        env = {"OVENBIRD_CACHE": str(folder / "cache")}
        theirs: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            theirs.append(timed(alone))
            shutil.rmtree(folder / "cache", ignore_errors=True)
            shutil.rmtree(project / "out", ignore_errors=True)
            ours.append(timed([OVENBIRD, "build", project], env))
        report.add("mmdebstrap alone", median(theirs))
        report.add("cold build to disk.img", median(ours))
        report.add("cold build / mmdebstrap alone", min(a / b for a, b in zip(ours, theirs, strict=True)), "times", 1.5)
        report.add("nothing changed", median([timed([OVENBIRD, "build", project], env) for _ in range(5)]), "s", 0.5)
        changed: list[float] = []
        for number in range(3):
            (project / "stages/greeting/motd").write_text(f"change {number}\n")
            changed.append(timed([OVENBIRD, "build", project], env))
        report.add("one file changed in the last stage", median(changed), "s", 5.0)
        out = project / "out"
        report.add("root.squashfs", (out / "root.squashfs").stat().st_size / 1e6, "MB", 120.0)
        report.add("initrd", (out / "initrd").stat().st_size / 1e6, "MB", 2.0)
        for step, seconds in _steps(folder / "cache"):
            report.add(f"  step {step}", seconds)
    return report


def _mmdebstrap(project: Path, out: Path) -> list[str]:
    """The command of the peer: the same packages and sources, its own download, a tar as the result."""
    loaded = load(project)
    base = loaded.recipe.base
    machine = board(loaded.recipe.image.board)
    stages = [name for stage in loaded.stages for name in stage.packages]
    names = [
        name for name in base_packages(base, [*device.PACKAGES, *machine.base_packages, *stages]) if name not in START
    ]
    return [
        "mmdebstrap", "--variant=apt", "--format=tar", f"--include={','.join(names)}", base.release, str(out),
        *source_lines(base),
    ]  # fmt: skip


def _steps(cache: Path) -> list[tuple[str, float]]:
    """The time of every kind of step in a store, the longest first."""
    records = [json.loads(file.read_text()) for file in (cache / "steps").glob("*/*/step.json")]
    first: dict[str, float] = {}
    for record in sorted(records, key=lambda record: record["made"]):
        first.setdefault(record["name"], record["took"])
    return sorted(first.items(), key=lambda pair: -pair[1])
