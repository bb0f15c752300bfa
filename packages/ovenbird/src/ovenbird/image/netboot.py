"""`netboot/`: what machines without a disk boot, and its manifest, for `ovenbird serve` or any other boot server.

Kernel and root are the same files that a disk holds. The initrd has the same `init`, but drivers of networks in place
of those of disks: a PC's would be larger by a third with both, and firmware and boot programs load it slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ovenbird.boards.board import Board
from ovenbird.errors import ImageError
from ovenbird.files import sha256_of, write_atomically
from ovenbird.recipe.model import Recipe
from ovenbird_device.format import FormatError
from ovenbird_device.format.netboot import FORMAT, MANIFEST, Netboot, NetbootFile, dump, load

KERNEL, INITRD, ROOT = "kernel", "initrd", "root.squashfs"
"""The names of the files."""
ARCHITECTURES: dict[str, Literal["amd64", "arm64"]] = {"amd64": "amd64", "arm64": "arm64"}


def makes_sense(board: Board) -> bool:
    """Whether machines of this kind can boot from the network."""
    return bool(board.network_modules) and board.architecture in ARCHITECTURES


def command_line(arguments: Sequence[str], digest: str, size: int) -> str:
    """What every client gets. `arguments` are a slot's own, `digest` and `size` the root's."""
    return " ".join(
        [*arguments, f"ovenbird.hash=sha256:{digest}", f"ovenbird.size={size}", "ovenbird.data=tmpfs", "ip=dhcp"]
    )


def write_manifest(
    folder: Path, *, recipe: Recipe, board: Board, kernel: Path, initrd: Path, root: Path, arguments: Sequence[str]
) -> None:
    """Write the manifest into `folder` for these files. Raises ImageError for words that no server could hand over."""

    def file(name: str, path: Path) -> NetbootFile:
        return NetbootFile(name, sha256_of(path), path.stat().st_size)

    image = file(ROOT, root)
    manifest = Netboot(
        format=FORMAT,
        name=recipe.image.name,
        version=recipe.image.version,
        board=board.name,
        architecture=ARCHITECTURES[board.architecture],
        kernel=file(KERNEL, kernel),
        initrd=file(INITRD, initrd),
        root=image,
        command_line=command_line(arguments, image.sha256, image.size),
    )
    text = dump(manifest)
    try:
        load(text)
    except FormatError as error:
        hint = "shorten `cmdline` in [boot] of the recipe, or say `netboot = false` there"
        raise ImageError(str(error), hint=hint) from error
    write_atomically(folder / MANIFEST, text)
