"""An image for another architecture: as a twin, beside the native build of the same packages and the emulated one.

Each begins with an empty cache and fetches all that it needs; the twin fetches its packages for both architectures.
All three are made of the same recipe and the same packages. The native one is for a `pc`, whose kernel is Debian's
whole one as a Pi's is (a virtual machine's is a small one), and installs what the Pi's board adds to every system. What
only one architecture has is told.

What is measured is the way to the finished tree: base, device, stages, and the twin's graft. The emulated build takes
long (minutes), so it is made once, and once more with the processor that qemu-user plays by itself, as others have it.
Its tree is compared with the twin's, path by path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.measure import OVENBIRD, Report, timed
from bench.tree import Told
from bench.trees import Entry, differences, unpack
from ovenbird import boards
from ovenbird.build.cross.emulation import PROCESSOR

# With all that they need, more than 200: what a real appliance has.
PACKAGES = (
    "avahi-daemon", "git", "network-manager", "nginx-light", "podman", "python3-gi", "rsync", "vim-tiny",
    "wpasupplicant",
)  # fmt: skip
RECIPE = """\
[image]
name = "cross"
version = "1"
board = "{board}"
[base]
components = {components}
packages = {packages}
[build]
stages = ["os", "volatile"]
emulate = {emulate}
[disk]
root = "1G"
"""
NATIVE, TARGET = "pc", "rpi"
ROUNDS = 2


def measure() -> Report:
    """Measure, in turns."""
    report = Report(f"cross: a tree for {TARGET}, beside that of the same packages for {NATIVE}, and the emulated one")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        pairs = [
            (_tree(folder, "native", NATIVE, emulate=False), _tree(folder, "twin", TARGET, emulate=False))
            for _ in range(ROUNDS)
        ]
        native, twin = ([one.seconds for one in side] for side in zip(*pairs, strict=True))
        of_host, of_target = pairs[-1]
        report.add(f"native tree ({len(of_host.packages)} packages)", min(native))
        for name, one, two in (("native", of_host, of_target), ("twin", of_target, of_host)):
            alone = sorted(set(one.packages) - set(two.packages))
            report.add(f"packages of the {name} alone", len(alone), "")
            print(f"  {name} alone: {' '.join(alone) or 'none'}", file=sys.stderr)
        report.add("twin's tree", min(twin))
        report.add("twin / native", min(twin) / min(native), "times", 1.35)
        emulated = _tree(folder, "emulated", TARGET, emulate=True)
        report.add("emulated tree", emulated.seconds)
        report.add("twin / emulated", min(twin) / emulated.seconds, "times")
        plain = _tree(folder, "plain", TARGET, emulate=True, environment={PROCESSOR: "max"})
        report.add("tree emulated as qemu-user does by itself", plain.seconds)
        report.add("twin / emulated by itself", min(twin) / plain.seconds, "times", 1 / 6)
        found = differences(_root(folder, "twin"), _root(folder, "emulated"))
        report.add("paths that differ from the emulated tree, unexplained", len(found), "", 0)
        for line in found[:40]:
            print(f"  {line}", file=sys.stderr)
        for step, seconds in sorted(of_target.steps.items(), key=lambda pair: -pair[1]):
            report.add(f"  step {step} of the twin", seconds)
    return report


def _project(folder: Path, name: str, board: str, *, emulate: bool) -> Path:
    project = folder / name
    project.mkdir(exist_ok=True)
    text = RECIPE.format(
        board=board,
        components=json.dumps(["main", *boards.board(TARGET).components]),
        packages=json.dumps([*PACKAGES, *boards.board(TARGET).base_packages]),
        emulate=str(emulate).lower(),
    )
    (project / "ovenbird.toml").write_text(text)
    return project


def _cache(folder: Path, name: str) -> dict[str, str]:
    return {"OVENBIRD_CACHE": str(folder / f"cache-{name}")}


def _tree(folder: Path, name: str, board: str, *, emulate: bool, environment: Mapping[str, str] | None = None) -> Told:
    """Make a tree from nothing."""
    project = _project(folder, name, board, emulate=emulate)
    shutil.rmtree(folder / f"cache-{name}", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "bench.tree", project],
        env={**os.environ, **_cache(folder, name), **(environment or {})},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Told)


def _root(folder: Path, name: str) -> dict[str, Entry]:
    timed([OVENBIRD, "build", folder / name], _cache(folder, name))
    return unpack(folder / name / "out/root.squashfs", folder / f"root-{name}")
