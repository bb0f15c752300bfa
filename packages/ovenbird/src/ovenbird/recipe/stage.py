"""Stages: where a recipe's stage is found, and what its `stage.toml` and the recipe's parameters make of it.

A stage is a folder with a `Containerfile.part`. Its `stage.toml`, if there is one, says which packages it needs and
which parameters it takes; these reach the `Containerfile.part` as `ARG`s, files among them as copies in the stage's
context. Stock stages come with Ovenbird and are named by their name, the user's own by their folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, field

from ovenbird.recipe import rules
from ovenbird.recipe.decode import Decoder, Failed, beside
from ovenbird.recipe.model import Section
from ovenbird.recipe.nodes import Node, kind, read_toml
from ovenbird.recipe.parameters import Parameter, ParameterReader, parameter_default
from ovenbird.recipe.problems import Problems, did_you_mean, shown

STOCK: Final = Path(__file__).resolve().parent.parent / "stages"
"""The folder of the stages that come with Ovenbird."""
CLEANUP: Final = "cleanup"
"""The stock stage that always comes last, by itself."""
PART: Final = "Containerfile.part"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class StageFile(Section, frozen=True, kw_only=True):
    """`stage.toml`: what a stage needs and takes."""

    description: Annotated[str, Meta(description="What the stage does, in one line.")] = ""
    packages: Annotated[
        tuple[Annotated[str, Meta(extra={"rule": rules.package})], ...],
        Meta(description="Debian packages that the stage needs; they are installed with the base, in one go."),
    ] = ()
    arch: Annotated[
        tuple[Annotated[str, Meta(extra={"rule": rules.arch_package})], ...] | None,
        Meta(
            description="The same on Arch Linux, by Arch's names. A stage with `packages` and without this cannot be "
            "used there."
        ),
    ] = None
    emulate: Annotated[
        bool,
        Meta(
            description="Whether the stage and what follows it are built under emulation for a board of another "
            "architecture: it compiles programs, say."
        ),
    ] = False
    parameters: Annotated[dict[str, Parameter], Meta(description="The parameters, each as `[parameters.NAME]`.")] = (
        field(default_factory=dict[str, Parameter])
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage ready to be built.

    `containerfile` is the text of its `Containerfile.part`; `arguments` has the value of the `ARG` of every parameter,
    given or default; `files` are copies that its context needs beside its folder: path in the context -> source.
    """

    name: str
    folder: Path
    containerfile: str
    arguments: Mapping[str, str]
    packages: tuple[str, ...] = ()
    files: Mapping[str, Path] = dataclass_field(default_factory=dict[str, Path])
    description: str = ""
    emulate: bool = False
    arch: tuple[str, ...] | None = None
    """Its packages on Arch Linux; None where it does not say."""


def stock_names(stock: Path = STOCK) -> list[str]:
    """The names of the stock stages."""
    try:
        return sorted(entry.name for entry in stock.iterdir() if (entry / PART).is_file())
    except OSError:
        return []


def find_stage(decoder: Decoder, node: Node, written: str, stock: Path) -> Path | None:
    """The folder of a stage as the recipe writes it; None, and a problem noted, if there is none."""
    if not written.startswith((".", "~")) and "/" not in written:
        names = stock_names(stock)
        if written in names:
            return stock / written
        own = [path for path in (f"./{written}", f"./stages/{written}") if _is_folder(beside(node, path))]
        hint = f'for your own folder, write "{own[0]}"' if own and written else None
        decoder.wrong(
            node,
            f"there is no stock stage `{written[:80]}`",
            hint or did_you_mean(written, [name for name in names if name != CLEANUP]),
        )
        return None
    folder = Path(os.path.normpath(beside(node, written)))
    if not _is_folder(folder):
        siblings = (
            [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] if _is_folder(folder.parent) else []
        )
        hint = did_you_mean(folder.name, siblings, otherwise=f"{shown(folder.parent)} has")
        decoder.wrong(node, f'there is no folder "{written[:200]}" for a stage', hint)
        return None
    if not (folder / PART).is_file():
        decoder.wrong(node, f'"{written[:200]}" is no stage: it has no {PART}')
        return None
    if not _NAME.fullmatch(folder.name):
        decoder.wrong(node, f'the folder "{folder.name}" cannot be a stage: use letters, digits, ".", "_" and "-"')
        return None
    return folder


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_stage(
    decoder: Decoder, use: Node, folder: Path, given: Mapping[str, Node], *, emulate: bool = False
) -> Stage | None:
    """The stage in `folder` with the parameters that a recipe gives it at `use`; None if something was wrong."""
    before = len(decoder.problems.found)
    node = _stage_toml(folder, decoder.problems)
    described = Decoder(decoder.problems).struct(StageFile, node) if node else None
    part = _read_part(folder / PART, decoder.problems)
    if node is None or described is None or part is None:
        return None
    values: dict[str, str] = {}
    files: dict[str, Path] = {}
    for key in given:
        if key not in described.parameters:
            otherwise = "its parameters are"
            hint = did_you_mean(key, described.parameters, otherwise=otherwise) or "it has none"
            decoder.wrong(given[key], f"stage `{folder.name}` has no parameter `{key}`", hint)
    for name, parameter in described.parameters.items():
        default = parameter_default(decoder, node, name, parameter)
        value = given.get(name)
        if value is None and parameter.required:
            decoder.wrong(use, f"stage `{folder.name}` needs its parameter `{name}`", parameter.help or None)
        read = ParameterReader(decoder, name, parameter, files, is_default=value is None).read(value or default)
        if not isinstance(read, Failed):
            values[name] = read
    if len(decoder.problems.found) > before:
        return None
    emulate = emulate or described.emulate
    return Stage(
        folder.name, folder, part, values, described.packages, files, described.description, emulate, described.arch
    )


def describe_stage(folder: Path, problems: Problems) -> StageFile | None:
    """What a stage's `stage.toml` says; None, and problems noted, if it is wrong."""
    node = _stage_toml(folder, problems)
    return Decoder(problems).struct(StageFile, node) if node else None


def _stage_toml(folder: Path, problems: Problems) -> Node | None:
    """The nodes of a stage's `stage.toml`: an empty table if it has none."""
    toml = folder / "stage.toml"
    return read_toml(toml, problems) if toml.exists() else Node(toml, 1, table={})


def _read_part(path: Path, problems: Problems) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problems.add("this is not UTF-8 text", file=path)
        return None
    except OSError as error:
        problems.add(f"cannot be read: {(error.strerror or str(error)).lower()}", file=path)
        return None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            if line.split()[0].upper() == "FROM":
                problems.add(
                    "a stage goes on where the one before it ended", file=path, line=number, hint="leave FROM out"
                )
                return None
            break
    return text


KEYS: Final = ("use", "emulate")
"""What a stage's table says beside its parameters."""


def split_use(decoder: Decoder, node: Node) -> tuple[str, dict[str, Node], bool] | None:
    """An item of `stages`: the stage as written, the parameters given, and whether it is emulated; None, and a problem
    noted, if it is neither a text nor a table with `use`."""
    if isinstance(node.value, str):
        return node.value, {}, False
    if node.table is None:
        decoder.wrong(
            node, f"a stage is {kind(node)}, but must be a text or a table", 'write "NAME" or { use = "NAME" }'
        )
        return None
    use = node.table.get("use")
    if use is None:
        decoder.wrong(node, "a stage's table has no `use`", 'write { use = "NAME", … }')
        return None
    name = decoder.text(use, "use")
    if isinstance(name, Failed):
        return None
    emulate = decoder.boolean(node.table["emulate"], "emulate") if "emulate" in node.table else False
    if isinstance(emulate, Failed):
        return None
    return name, {key: item for key, item in node.table.items() if key not in KEYS}, emulate
