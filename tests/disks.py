"""Disk images with their maps, as a build makes them: nothing in them would boot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ovenbird.image.bmap import write_bmap
from ovenbird.image.disk import write_disk
from ovenbird.image.fat import write_fat
from ovenbird.image.grub import BiosCode
from ovenbird.image.layout import MIB, plan
from ovenbird_device.format import selector


def make_disk(folder: Path, *, root: int | Path, data: int = 64 * MIB) -> Path:
    """Write `disk.img` and `disk.bmap` into a folder; returns the image. The root is a squashfs, or so many bytes of
    noise.
    """
    blocks = dict.fromkeys(map(str, selector.COPIES), selector.encode(selector.State()))
    for name, files in {"select": blocks, "boot": {"file": b"content of boot"}}.items():
        write_fat(folder / name, files, size=8 * MIB, label=name, epoch=1)
    if isinstance(root, Path):
        root = shutil.copyfile(root, folder / "root").stat().st_size
    else:
        with (folder / "root").open("wb") as file:
            file.write(b"hsqs")
            for left in range(root - 4, 0, -MIB):
                file.write(os.urandom(min(MIB, left)))
    made = write_disk(
        folder / "disk.img",
        layout=plan(select=8 * MIB, boot=8 * MIB, root=-(-root // MIB) * MIB + 3 * MIB, data=data, digest="content"),
        select=folder / "select",
        bios=BiosCode(bytes(512), bytes(1024)),
        boot=folder / "boot",
        root=folder / "root",
        digest="content",
        epoch=1,
    )
    write_bmap(folder / "disk.bmap", made)
    for name in ("select", "boot", "root"):
        (folder / name).unlink()
    return folder / "disk.img"
