"""Flashing beside `bmaptool copy`: the same image to a file and to a loop device, in turns, in one run.

The image has a root of 768 MiB, as a system with a few programs has: whole commands are measured, and how long either
takes to start is not what people wait for.

bmaptool reads every block of the map; ours leaves out those that are holes in the image. It does not read back what
it wrote, so ours is timed twice: what it writes until it is flushed, which is what is compared, and the reading back.
A loop device needs root; without it, only files are measured. Before each turn the caches are emptied, if root can.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.disks import make_disk

from bench.measure import OVENBIRD, Report, median

ROUNDS = 5
ROOT = 768 << 20
_READ = re.compile(r"^rchar: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Turn:
    """One run: seconds until all is on the medium, seconds of reading back, and bytes read of the image."""

    write_s: float
    check_s: float
    read: int


def measure() -> Report:
    """Measure, in turns."""
    report = Report("flash: writing an image beside bmaptool copy")
    with tempfile.TemporaryDirectory(prefix="ovenbird-bench-") as name:
        folder = Path(name)
        image = make_disk(folder, root=ROOT)
        _compare(report, "file", image, lambda: folder / "card.img")
        with suppress(subprocess.CalledProcessError, PermissionError), _loop(folder, image.stat().st_size) as card:
            _compare(report, "loop device", image, lambda: card)
    return report


def _compare(report: Report, kind: str, image: Path, target: Callable[[], Path]) -> None:
    ours: list[Turn] = []
    theirs: list[Turn] = []
    for turn in range(ROUNDS):
        pair: list[Callable[[], None]] = [
            lambda: theirs.append(_theirs(image, _fresh(target()))),
            lambda: ours.append(_ours(image, _fresh(target()))),
        ]
        for one in pair if turn % 2 else reversed(pair):
            _empty_caches()
            one()
    report.add(f"{kind}: ovenbird flash, written and flushed", median([one.write_s for one in ours]))
    report.add(f"{kind}: bmaptool copy", median([one.write_s for one in theirs]))
    if any(one.check_s for one in ours):
        report.add(f"{kind}: ovenbird flash, read back beside that", median([one.check_s for one in ours]))
    pairs = [a.write_s / b.write_s for a, b in zip(ours, theirs, strict=True)]
    report.add(f"{kind}: ours / theirs", median(pairs), "times", 1.0)
    report.add(f"{kind}: read of the image, ovenbird flash", ours[0].read / 1e6, "MB")
    report.add(f"{kind}: read of the image, bmaptool copy", theirs[0].read / 1e6, "MB")
    report.add(f"{kind}: read, ours / theirs", ours[0].read / theirs[0].read, "times", 1.0)


def _ours(image: Path, target: Path) -> Turn:
    where = ["--to", str(target)] if not target.is_block_device() else []
    card = [] if where else [str(target), "--force", "--yes"]
    begin = time.monotonic()
    done = subprocess.run(
        [str(OVENBIRD), "flash", *card[:1], str(image), *card[1:], *where, "--json"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    took = time.monotonic() - begin
    (said,) = json.loads(done.stdout)
    # The whole command but the reading back: its start, and looking for the card, count.
    return Turn(took - said["check_s"], said["check_s"], said["read"])


def _theirs(image: Path, target: Path) -> Turn:
    """Its own process tells what it read: less what Python reads of itself, which `--version` reads as well."""
    bmap = image.with_suffix(".bmap")
    begin = time.monotonic()
    words = ["bmaptool", "-q", "copy", "--bmap", str(bmap), str(image), str(target)]
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    took = time.monotonic() - begin
    return Turn(took, 0.0, _read_by(words) - _read_by(["bmaptool", "--version"]))


def _read_by(words: list[str]) -> int:
    """Bytes that a command reads, as the kernel counts them of a process that has ended and was not waited for."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    found = _READ.search(Path(f"/proc/{process.pid}/io").read_text())
    process.wait()
    if found is None:
        sys.exit("the kernel does not count what processes read")
    return int(found[1])


def _fresh(target: Path) -> Path:
    """A file is made anew; a device is as it is."""
    if target.is_file():
        target.unlink()
    return target


def _empty_caches() -> None:
    os.sync()
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


@contextmanager
def _loop(folder: Path, size: int) -> Generator[Path]:
    backing = folder / "backing"
    with backing.open("wb") as file:
        file.truncate(size)
    words = ["losetup", "--find", "--show", str(backing)]
    path = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield Path(path)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)
