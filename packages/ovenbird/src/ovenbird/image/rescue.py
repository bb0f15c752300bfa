"""The rescue partition: a whole small system in one FAT, which runs from memory and is never updated.

It is what the device is before the first stage (the base, the agent with its page and steward, the network of the
recipe), so that a mistake in a stage is not in it. GRUB boots it as it boots a slot; its initrd copies the root into
memory, because whoever is rescued may want to erase anything on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ovenbird.errors import ImageError
from ovenbird.image.boot import write_boot
from ovenbird.recipe.size import format_size

MODULES = ("loop", "vfat", "nls_cp437", "nls_ascii")
"""What its initrd needs beside a slot's. Both use one initrd."""
WORDS = ("ovenbird.toram",)
"""Its own words on the kernel's command line."""
ROOT = "root.squashfs"
LEFT_OUT = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "var/cache/*")
"""Nobody reads it there, and it takes memory."""
_SPARE = 1 << 20


def write_rescue(
    out: Path, *, kernel: Path, initrd: Path, root: Path, digest: str, arguments: Sequence[str], size: int, epoch: int
) -> None:
    """Write the partition of `size` bytes. `root` is a squashfs with this sha256, `arguments` are a slot's.

    Raises ImageError if it does not fit.
    """
    needed = sum(file.stat().st_size for file in (kernel, initrd, root)) + _SPARE
    if needed > size:
        raise ImageError(
            f"rescue takes {format_size(needed)}, but its partition has {format_size(size)}",
            hint=f'set `rescue = "{-(-needed * 5 // 4 // (1 << 20))}M"` in [disk] of the recipe',
        )
    write_boot(
        out,
        kernel=kernel,
        initrd=initrd,
        cmdline=" ".join([*arguments, *WORDS, f"ovenbird.hash=sha256:{digest}"]),
        label="RESCUE",
        size=size,
        epoch=epoch,
        more={ROOT: root},
    )
