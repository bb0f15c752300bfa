"""The step `bundle`: whether a build has one, who signs it, and what goes into its key.

A recipe without certificates has no bundle. One with certificates, built where no private key of theirs is at hand (a
developer's machine, a test), builds everything else and says why there is no bundle; `--bundle` makes that an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovenbird.boards import Board
from ovenbird.errors import UsageError
from ovenbird.files import sha256_of
from ovenbird.image import bundle
from ovenbird.recipe.model import Recipe

if TYPE_CHECKING:
    from ovenbird.keys.signing import Signing


@dataclass(frozen=True, slots=True)
class Absence:
    """Why a build has no bundle, and what to do for one. `wanted`: the recipe speaks of updates."""

    reason: str
    hint: str
    wanted: bool

    def error(self) -> UsageError:
        """For somebody who demands one."""
        return UsageError(self.reason, hint=self.hint)


def plan_bundle(recipe: Recipe) -> Signing | Absence:
    """Who signs the bundle of a recipe, or why nobody does. Raises RecipeError, UsageError for a key of no use."""
    if not recipe.update.keys:
        return Absence(
            "the recipe names no certificates, so its devices take no bundles",
            "`ovenbird keys new --to keys` makes a key and prints what to write",
            wanted=False,
        )
    # Only here: they take longer to import than a plan takes.
    from ovenbird.keys.certificates import read_certificates
    from ovenbird.keys.folder import keys_folder
    from ovenbird.keys.signing import KEY, find_signing

    signing = find_signing(read_certificates(recipe.update.keys))
    if signing is not None:
        return signing
    names = ", ".join(file.name for file in recipe.update.keys)
    return Absence(
        f"no bundle is written: there is no private key of {names} in {keys_folder()}",
        f"put it there, or set {KEY} to its file, to `agent`, or to a pkcs11: URI (docs/updates.md)",
        wanted=True,
    )


def bundle_facts(recipe: Recipe, board: Board) -> bundle.Facts:
    """What the bundle says of itself."""
    return bundle.Facts(
        name=recipe.image.name,
        version=recipe.image.version,
        board=board.name,
        compatible=recipe.update.compatible or (board.name,),
        description=recipe.image.description,
        tries=recipe.update.tries,
    )


def bundle_inputs(recipe: Recipe, board: Board, signing: Signing, parents: Mapping[str, str]) -> dict[str, str]:
    """All that goes into the step, by name."""
    facts = bundle_facts(recipe, board)
    return {
        **parents,
        "name": f"{facts.name} {facts.version} for {board.name}",
        "compatible": " ".join(facts.compatible),
        "description": facts.description,
        "tries": str(facts.tries),
        "signer": signing.identity,
        **{f"file {file.name}": sha256_of(file)[:24] for file in recipe.update.keys},
        "compression": bundle.MAKER,
        "maker": sha256_of(Path(bundle.__file__))[:24],
    }
