"""A machine to work in: the image's own root, but all of it can be changed, and what is changed is kept.

QEMU loads the slot's kernel and initrd by itself, with one more word for the initrd (`ovenbird.writable`), which puts
an overlay over the root with its upper layer on data. So the image and its boot loader stay as they are, the changes
lie in one place, and `ovenbird capture` takes them with the root as one tree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ovenbird.boards import Board
from ovenbird.errors import ImageError
from ovenbird.image.reading import fat
from ovenbird.image.reading.disk import boot_region, chosen_slot, open_image
from ovenbird.vm.command import Kernel

WORD: Final = "ovenbird.writable"
GROWTH: Final = 8 << 30
"""Bytes that the disk is larger than the image: room for what is installed. It is not taken before it is used."""


def place(disk: Path) -> Path:
    """Where the disk of such a machine is kept, beside the image that it began with."""
    return disk.with_name(f"{disk.stem}.writable{disk.suffix}")


@contextmanager
def direct(disk: Path, board: Board, *more: str) -> Generator[Kernel]:
    """The kernel of a disk's active slot with its own words and `more`, the last of which count. Raises ImageError.

    Root and data are named by their devices: the identifiers of the partitions change at the first boot.
    """
    opened = open_image(disk)
    slot = chosen_slot(opened)
    boot = boot_region(opened, slot)
    numbers = {one.name: one.number for one in opened.partitions}
    if "data" not in numbers or f"root-{slot}" not in numbers:
        raise ImageError("has no data partition to keep changes on", where=str(disk))
    name = "/dev/vda" if board.virtual.disk.startswith("virtio-blk") else "/dev/sda"
    words = [
        f"ovenbird.slot={slot}",
        f"ovenbird.root={name}{numbers[f'root-{slot}']}",
        f"ovenbird.data={name}{numbers['data']}",
        fat.read(boot, "cmdline.txt").decode("ascii", "replace").strip(),
        *more,
    ]
    with tempfile.TemporaryDirectory(prefix="ovenbird-") as folder:
        for file in ("vmlinuz", "initrd"):
            (Path(folder) / file).write_bytes(fat.read(boot, file))
        yield Kernel(Path(folder) / "vmlinuz", Path(folder) / "initrd", " ".join(words))
