"""`ovenbird extract`: unpack the root or the initrd of an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ovenbird.errors import UsageError


def extract(
    image: Annotated[Path, typer.Argument(help="A disk.img, root.squashfs, boot.vfat or initrd, or their folder.")],
    root: Annotated[Path | None, typer.Option("--root", help="Unpack the root into this new folder.")] = None,
    initrd: Annotated[Path | None, typer.Option("--initrd", help="Unpack the initrd into this new folder.")] = None,
    slot: Annotated[
        str | None, typer.Option("--slot", help="The slot of a disk: a or b (default: the active one).")
    ] = (None),
) -> None:
    """Unpack the root or the initrd of an image into a new folder."""
    from ovenbird.image.reading.disk import open_image, root_region
    from ovenbird.image.reading.unpack import unpack_initrd, unpack_root

    if root is None and initrd is None:
        raise UsageError("nothing to do", hint=f"ovenbird extract {image} --root FOLDER, or --initrd FOLDER")
    opened = open_image(image)
    notes: list[str] = []
    if root is not None:
        notes += unpack_root(root_region(opened, slot), root)
    if initrd is not None:
        notes += unpack_initrd(opened, initrd, slot)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
