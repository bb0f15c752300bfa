"""A system without an agent: what its tree gets of Ovenbird, which is what the initrd needs and a word to people.

Nothing runs in such a tree: it may have no shell that we know. The initrd's helper (`image/agentless`) does what is
left of the agent's work: it commits a system that stays up, and starts rescue when it is asked to.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ovenbird.boards import Board
from ovenbird.build import tree
from ovenbird.build.kernel import KernelFiles
from ovenbird.recipe.model import Recipe

CONTAINERFILE = "COPY files/ /\n"
HOME = tree.HOME


def lay_out_device(context: Path, kernel: KernelFiles | None, modules: str) -> None:
    """Fill the context of the device step: the kernel's modules, where the root does not have its own."""
    root = context / "files"
    (root / HOME).mkdir(parents=True)
    if kernel is not None:
        shutil.copytree(kernel.modules, root / modules / kernel.version, symlinks=True)


def tree_files(recipe: Recipe, board: Board, *, digest: str, missing: str) -> dict[str, str]:
    """The files by their path in the tree."""
    every = tree.tree_files(recipe, board, digest=digest)
    kept = (f"{HOME}/image.json", "etc/hwrevision", "etc/hostname", "etc/hosts")
    lines = [f"agentless {missing}"]
    lines += [f"check {check.command}" for check in recipe.health if check.command is not None]
    state = every[f"{HOME}/state"] + "".join(f"{line}\n" for line in lines)
    return {f"{HOME}/state": state, **{name: every[name] for name in kept}}


def advice(missing: str, *, rescue: bool, card: bool) -> str:
    """What to tell whoever builds such a system."""
    told = f"this system has no agent, because its root has {missing}: no page, no health checks but commands"
    if card:
        return f"{told}; on a Raspberry Pi there is no rescue either, so a new version is flashed"
    if rescue:
        return f"{told}; it is updated from rescue (docs/bases.md)"
    return f"{told}, and no way to update it: add `rescue` in [disk], from which it can be"


__all__ = ["CONTAINERFILE", "advice", "lay_out_device", "tree_files"]
