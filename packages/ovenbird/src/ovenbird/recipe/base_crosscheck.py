"""What a base cannot have: keys of another kind of base, and stages whose packages it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovenbird.recipe.decode import Decoder
from ovenbird.recipe.model import Base, Recipe
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.stage import Stage

NEEDED: Final = {"arch": ("tarball", "sha256", "server"), "tar": ("tarball", "sha256")}
"""What each kind of base must have."""
ONLY: Final = {
    "tarball": ("arch", "tar"),
    "sha256": ("arch", "tar"),
    "kernel": ("arch", "tar"),
    "init": ("tar",),
    "server": ("arch",),
    "repositories": ("arch",),
    "keys": ("arch",),
    "packages": ("debian", "arch"),
    "preseed": ("debian",),
}
"""The kinds of base that a key is for, where it is not for all."""
_HELP: Final = {
    "tarball": "name the root's tarball, a file or an address",
    "sha256": "`sha256sum FILE` prints it",
    "server": "write the address of a mirror, with $repo and $arch in it",
}


def crosscheck_base(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    """Notes the keys of [base] that are missing or of no use for its distribution."""
    section = (root.table or {}).get("base")
    if section is None:
        return
    table, kind = section.table or {}, recipe.base.distribution
    for key in NEEDED.get(kind, ()):
        if getattr(recipe.base, key) is None:
            decoder.wrong(section, f'`base.{key}` is missing: the distribution "{kind}" starts from it', _HELP[key])
    for key, kinds in ONLY.items():
        if key in table and kind not in kinds:
            wanted = " and ".join(f'"{one}"' for one in kinds)
            hint = "put what it needs into the tarball, or add it with a stage" if key == "packages" else "leave it out"
            decoder.wrong(table[key], f'`base.{key}` is for the distribution {wanted}, but this is "{kind}"', hint)


def crosscheck_stages(base: Base, stages: Sequence[Stage], root: Node, decoder: Decoder) -> None:
    """Notes the stages whose packages the base cannot have. `stages` are all that the recipe names, in order."""
    if base.distribution == "debian":
        return
    listed = (((root.table or {}).get("build") or root).table or {}).get("stages")
    nodes = listed.items if listed and listed.items else []
    for stage, node in zip(stages, nodes, strict=False):
        if base.distribution == "tar" and stage.packages:
            message = f'the stage `{stage.name}` needs packages, and nothing installs any on the distribution "tar"'
            decoder.wrong(node, message, "leave it out, and put what it does into the tarball or a stage of your own")
        elif base.distribution == "arch" and stage.packages and stage.arch is None:
            message = f"the stage `{stage.name}` does not say which packages it needs on Arch Linux"
            decoder.wrong(node, message, "leave it out; a stage of your own says it by `arch = [...]` in stage.toml")
