"""What makes a card one device's: a file on its data partition, put there on the way, never into the image.

The data partition of a fresh image is nearly empty, so a copy of it is changed (`debugfs -w`, which needs no root and
no mounting) and written in its place. The copy is where only this user can read it, in memory if there is room for
files in memory, and goes when the card is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ovenbird.deliver.flash.source import Piece, Source, runs
from ovenbird.errors import ImageError
from ovenbird.image.disk import used_blocks
from ovenbird.run import run
from ovenbird_device.format import personal

_MEMORY = Path("/dev/shm")
_FILE = "personal.json"


@contextmanager
def handed_over(source: Source, given: personal.Personal) -> Generator[Source]:
    """The source with a device's personal file on its data partition; good as long as the context lasts.

    Raises ImageError where the image has no data partition that could be changed.
    """
    if personal.DATA not in source.names:
        raise ImageError("the image has no data partition", where=str(source.image))
    begin, size = source.names[personal.DATA]
    place = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="ovenbird-flash-", dir=place) as name:
        folder = Path(name)
        data = folder / "data.img"
        _cut_out(source.image, begin, size, data)
        (folder / _FILE).write_bytes(personal.dump(given))
        _put(data, folder)
        pieces = [Piece(data, one.offset, begin + one.offset, one.size) for one in used_blocks(data, size)]
        yield source.instead(begin, size, pieces)


def _cut_out(image: Path, begin: int, size: int, target: Path) -> None:
    """Copy a part of a file, with its holes."""
    with image.open("rb") as reading, target.open("wb") as writing:
        writing.truncate(size)
        for first, last, data in runs(reading.fileno(), begin, begin + size):
            while data and first < last:
                content = os.pread(reading.fileno(), min(1 << 20, last - first), first)
                if not content:
                    raise ImageError("the image ends before its data partition does", where=str(image))
                os.pwrite(writing.fileno(), content, first - begin)
                first += len(content)


def _put(data: Path, folder: Path) -> None:
    """Write the file into the file system; only root can read it there."""
    path = personal.IN_DATA
    above = path.rpartition("/")[0]
    # It must not be told to make what is there: it would leave half a folder behind.
    script = [f"rm {path}"] if _has(data, path) else []
    if not _has(data, above):
        script += [f"mkdir {above}", f"sif {above} mode 040750"]
    script.append(f"write {_FILE} {path}")
    script += [f"sif {path} {field} {value}" for field, value in (("mode", "0100600"), ("uid", "0"), ("gid", "0"))]
    commands = "".join(f"{line}\n" for line in script).encode()
    what = "writing to the data partition"
    done = run(["debugfs", "-w", "-f", "-", data], cwd=folder, stdin=commands, what=what)
    # It ends well whatever went wrong.
    back = run(["debugfs", "-R", f"cat {path}", data], what=what).stdout
    if back.encode() != (folder / _FILE).read_bytes():
        last = (done.stderr.strip().splitlines() or ["it does not read back"])[-1]
        raise ImageError(f"the personal file cannot be put onto the data partition: {last}")


def _has(data: Path, path: str) -> bool:
    """Whether a path is in the file system."""
    return "Inode:" in run(["debugfs", "-R", f"stat {path}", data], what="reading the data partition").stdout
