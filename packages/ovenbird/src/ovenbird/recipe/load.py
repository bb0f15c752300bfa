"""From `ovenbird.toml` to a recipe that can be built: include, merge, check, find the stages.

Whatever is wrong ends as one `RecipeError` that has every independent mistake with its file and line. Nothing here
touches the network or the store, so that it is quick enough to come before every command.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ovenbird import boards
from ovenbird.errors import RecipeError
from ovenbird.recipe.app_reading import READERS, read_binary
from ovenbird.recipe.base_crosscheck import crosscheck_stages
from ovenbird.recipe.crosscheck import crosscheck
from ovenbird.recipe.decode import FAILED, Decoder, Failed, beside, existing
from ovenbird.recipe.model import RELEASES, Recipe, StageUse
from ovenbird.recipe.nodes import Node, merge, read_toml
from ovenbird.recipe.problems import Problems, did_you_mean, shown
from ovenbird.recipe.stage import CLEANUP, KEYS, STOCK, Stage, find_stage, read_stage, split_use
from ovenbird_device.format import FormatError, eeprom

RECIPE: Final = "ovenbird.toml"
"""The file's name in a recipe's folder."""
_VERSIONS: Final = {"13": "trixie", "12": "bookworm", "stable": "trixie", "oldstable": "bookworm"}


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe, checked, with its stages found.

    `path` is the recipe file and `folder` its folder; `files` are it and all that it includes, in the order in which
    they were merged; `digest` is the SHA-256 of the merged content (not of the files that it names); `stages` are in
    building order, `cleanup` last.
    """

    recipe: Recipe
    path: Path
    folder: Path
    files: tuple[Path, ...]
    digest: str
    stages: tuple[Stage, ...]


def find_recipe(path: Path) -> Path:
    """The recipe file that is meant by a file or a folder, as an absolute path. Raises RecipeError if there is none."""
    try:
        file = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, away from its neighbours
        if file.is_dir():
            if not (file / RECIPE).is_file():
                raise RecipeError(
                    f"there is no {RECIPE} in {shown(file) if file != Path.cwd() else 'this folder'}",
                    hint="`ovenbird new NAME` makes a folder with a recipe",
                )
            return file / RECIPE
        if not file.is_file():
            names = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
            near = did_you_mean(file.name, [name for name in names if name.endswith(".toml")])
            raise RecipeError(
                f"there is no recipe {str(path)!r}", hint=near or "`ovenbird new NAME` makes a folder with a recipe"
            )
    except (OSError, ValueError) as error:
        raise RecipeError(f"{str(path)!r} cannot be read: {error}") from error
    return file


def load(path: Path, *, stock: Path = STOCK) -> LoadedRecipe:
    """Reads the recipe at `path` (the file, or its folder). `stock` is where the stock stages are.

    Raises RecipeError: one problem as itself, several as `RecipeProblemsError` with all of them.
    """
    file = find_recipe(path)
    problems = Problems()
    reader = _Files(problems)
    root = reader.read(file)
    problems.stop_if_any()  # a file that is not TOML, or missing, would only make further errors that are none
    assert root is not None
    decoder = Decoder(
        problems,
        {
            "board": _read_board,
            "eeprom": _read_eeprom,
            "overlay": _read_overlay,
            "release": _read_release,
            "stage": _read_stage_use,
            "tarball": read_binary,
            **READERS,
        },
    )
    recipe = decoder.struct(Recipe, root)
    stages = _stages(decoder, root, stock)
    if recipe is not None:
        crosscheck(recipe, root, decoder)
        crosscheck_stages(recipe.base, stages, root, decoder)
    problems.stop_if_any()
    assert recipe is not None
    return LoadedRecipe(recipe, file, file.parent, tuple(reader.files), _digest(root), stages)


class _Files:
    """Reads a recipe file and what it includes, each once, and merges them."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.files: list[Path] = []
        self.seen: set[Path] = set()

    def read(self, file: Path, above: tuple[Path, ...] = ()) -> Node | None:
        """The merged nodes of a file; `above` are the files that include it, outermost first."""
        self.seen.add(file.resolve())
        own = read_toml(file, self.problems)
        if own is None or own.table is None:
            return None
        merged: Node | None = None
        for included in self.included(own, (*above, file)):
            merged = included if merged is None else merge(merged, included, self.problems)
        self.files.append(file)
        rest = Node(own.file, own.line, table={key: node for key, node in own.table.items() if key != "include"})
        return rest if merged is None else merge(merged, rest, self.problems)

    def included(self, own: Node, chain: tuple[Path, ...]) -> list[Node]:
        """What a file includes, in order."""
        wanted = (own.table or {}).get("include")
        if wanted is None:
            return []
        names = Decoder(self.problems)
        if wanted.items is None:
            hint = f'write ["{wanted.value}"]' if isinstance(wanted.value, str) else None
            names.kind(wanted, "include", "a list of files", hint)
            return []
        found: list[Node] = []
        for item in wanted.items:
            path = names.file(item, "include")
            if isinstance(path, Failed):
                continue
            path = Path(os.path.normpath(path))
            same = [at for at, file in enumerate(chain) if file.resolve() == path.resolve()]
            if same:
                loop = " → ".join(shown(file) for file in (*chain[same[0] :], path))
                names.wrong(item, f"a recipe cannot include itself: {loop}")
            elif path.resolve() not in self.seen:
                node = self.read(path, chain)
                found += [node] if node else []
        return found


def _stages(decoder: Decoder, root: Node, stock: Path) -> tuple[Stage, ...]:
    """The recipe's stages, found and read, and `cleanup` at the end. A tarball's root is as its maker wants it."""
    build = (root.table or {}).get("build")
    listed = (build.table or {}).get("stages") if build else None
    items = list((listed.items if listed else None) or [])
    base = (root.table or {}).get("base")
    distribution = (base.table or {}).get("distribution") if base else None
    if (distribution is None or distribution.value != "tar") and (not items or not _is_cleanup(items[-1])):
        items.append(Node(root.file, 1, CLEANUP))
    found: list[Stage] = []
    for number, item in enumerate(items):
        used = split_use(decoder, item)
        if used is None:
            continue
        name, given, emulate = used
        if name == CLEANUP and number + 1 < len(items):
            decoder.wrong(item, f"the stage `{CLEANUP}` always comes last, by itself", "leave it out")
            continue
        folder = find_stage(decoder, item, name, stock)
        stage = read_stage(decoder, item, folder, given, emulate=emulate) if folder else None
        found += [stage] if stage else []
    return tuple(found)


def _is_cleanup(node: Node) -> bool:
    use = node.table.get("use") if node.table is not None else node
    return use is not None and use.value == CLEANUP


def _read_stage_use(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> StageUse | Failed:
    """The model's form of a stage; what is wrong with it is told by `_stages`, which comes along here as well."""
    if isinstance(node.value, str):
        return StageUse(node.value)
    use = node.table.get("use") if node.table is not None else None
    if node.table is None or use is None or not isinstance(use.value, str):
        return FAILED
    emulate = "emulate" in node.table and node.table["emulate"].value is True
    return StageUse(use.value, {key: item.plain() for key, item in node.table.items() if key not in KEYS}, emulate)


def _read_board(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    name = decoder.text(node, label)
    known = boards.names()
    if isinstance(name, Failed) or name in known:
        return name
    return decoder.wrong(node, f'there is no board "{name[:80]}"', did_you_mean(name, known))


def _read_overlay(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """An overlay and its parameters; a file's path becomes absolute."""
    value = decoder.text(node, label, extra["rule"])
    if isinstance(value, Failed):
        return value
    name, *parameters = value.split(",")
    if not name.endswith((".dtbo", ".dts")):
        return value
    path = beside(node, name)
    return ",".join([str(path), *parameters]) if existing(decoder, node, label, name, path) else FAILED


def _read_eeprom(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> Path | Failed:
    """The image of a Pi 4's EEPROM that holds a boot loader which falls back; what writes it is beside it."""
    path = decoder.file(node, label)
    if isinstance(path, Failed):
        return path
    try:
        image = eeprom.read_image(path.read_bytes())
    except OSError as error:
        return decoder.wrong(node, f"`{label}`: {shown(path)} cannot be read: {error.strerror or error}")
    except FormatError as error:
        return decoder.wrong(
            node, f"`{label}`: {shown(path)} is no boot loader for a Pi 4: {error}", "take a `pieeprom-DATE.bin`"
        )
    if image.built < eeprom.LEAST:
        of = eeprom.day(image.built)
        message = f"`{label}`: the boot loader in {shown(path)} is of {of} and cannot fall back from a bad update"
        return decoder.wrong(node, message, "take one of 2022-10-18 or newer")
    recovery = path.with_name(eeprom.RECOVERY)
    if not recovery.is_file() or not 0 < recovery.stat().st_size <= eeprom.SIZE:
        hint = "both are in the same folder of rpi-eeprom"
        return decoder.wrong(node, f"`{label}`: there is no {eeprom.RECOVERY} beside {shown(path)}", hint)
    return path


def _read_release(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    name = decoder.text(node, label)
    if isinstance(name, Failed) or name in RELEASES:
        return name
    known = _VERSIONS.get(name.lower())
    hint = f'write "{known}"' if known else did_you_mean(name, RELEASES)
    return decoder.wrong(node, f'there is no release "{name[:80]}" that Ovenbird can build', hint)


def _digest(root: Node) -> str:
    return hashlib.sha256(msgspec.json.encode(root.plain(), order="sorted")).hexdigest()
