"""The root image: a squashfs whose bytes depend on the tree alone.

zstd, extended attributes kept, entries sorted (mksquashfs does so by itself), times clamped to the build's own time.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ovenbird.build.engine import Engine
from ovenbird.errors import ImageError
from ovenbird.recipe.size import format_size

BLOCK = "256K"  # Larger blocks pack better; smaller ones are read faster at random.
# What a tree has on the workstation only: mount points that the engine fills, and what must not be in an image.
LEFT_OUT = ("dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/tmp/*", "etc/mtab.tmp", "var/cache/apt/archives/*")


def bake_root(
    out: Path,
    engine: Engine,
    tree: str,
    *,
    level: int,
    epoch: int,
    without: Sequence[str] = (),
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Pack the tree of a step into `out`, `without` what these patterns match. Owners and rights are the stages'."""
    left_out = " ".join(shlex.quote(pattern) for pattern in (*LEFT_OUT, *without))
    script = (
        f'mksquashfs "$TREE" {shlex.quote(str(out))} -noappend -no-progress -quiet -no-recovery'
        f" -comp zstd -Xcompression-level {level} -b {BLOCK} -xattrs -wildcards -e {left_out}"
    )
    out.unlink(missing_ok=True)
    engine.with_tree(tree, script, env={"SOURCE_DATE_EPOCH": str(epoch)}, on_line=on_line, what="the root image")
    out.chmod(0o644)


def check_fits(root: Path, slot: int, largest: list[tuple[str, int]]) -> None:
    """Raise ImageError where a root image is larger than its slot (bytes), with the largest packages."""
    size = root.stat().st_size
    if size <= slot:
        return
    packages = ", ".join(f"{name} {format_size(bytes_)}" for name, bytes_ in largest[:8])
    raise ImageError(
        f"the root image of {format_size(size)} is {format_size(size - slot)} larger than its slot of"
        f" {format_size(slot)}; the largest packages, unpacked: {packages}",
        hint=f'set `root = "{-(-size * 5 // 4 // (1 << 20))}M"` in [disk] of the recipe, or take packages out',
    )
