"""A slot's boot partition: a FAT with the kernel, the initrd and the slot's part of the kernel command line.

GRUB reads `slot.cfg`, which sets one variable and does nothing else; `cmdline.txt` has the same words for people and
for tools that do not speak GRUB. GRUB adds what only it knows: slot, root, data and trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ovenbird.errors import ImageError
from ovenbird.image.fat import write_fat
from ovenbird_device.format import FormatError, cmdline


def slot_config(line: str) -> bytes:
    """The text of `slot.cfg` for a checked command line."""
    return f"set ovenbird_cmdline='{line}'\n".encode("ascii")


def write_boot(
    out: Path,
    *,
    kernel: Path,
    initrd: Path,
    cmdline: str,
    label: str = "BOOT",
    size: int,
    epoch: int,
    more: Mapping[str, Path] | None = None,
) -> None:
    """Write the boot image of a slot (both slots take the same bytes); `size` in bytes, `more` are further files.

    Raises ImageError if the files do not fit or the command line has characters that GRUB would change.
    """
    line = _checked(cmdline)
    files: dict[str, Path | bytes] = {
        **(more or {}),
        "vmlinuz": kernel,
        "initrd": initrd,
        "slot.cfg": slot_config(line),
        "cmdline.txt": line.encode("ascii") + b"\n",
    }
    write_fat(out, files, size=size, label=label, epoch=epoch)


def _checked(line: str) -> str:
    try:
        return cmdline.for_grub([line])
    except FormatError as error:
        raise ImageError(str(error), hint="look at `cmdline` in [boot] of the recipe") from error
