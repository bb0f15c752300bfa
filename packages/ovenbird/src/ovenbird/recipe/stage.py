"""Stages: where a recipe's stage is found, and what its `stage.toml` and the recipe's parameters make of it.

A stage is a folder with a `Containerfile.part`. Its `stage.toml`, if there is one, says which packages it needs and
which parameters it takes; these reach the `Containerfile.part` as `ARG`s, files among them as copies in the stage's
context. Stock stages come with Ovenbird and are named by their name, the user's own by their folder.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from ovenbird.recipe import rules
from ovenbird.recipe.decode import FAILED, Decoder, Failed, beside, existing
from ovenbird.recipe.model import Section
from ovenbird.recipe.nodes import Node, kind, read_toml
from ovenbird.recipe.problems import Problems, did_you_mean, shown

STOCK: Final = Path(__file__).resolve().parent.parent / "stages"
"""The folder of the stages that come with Ovenbird."""
CLEANUP: Final = "cleanup"
"""The stock stage that always comes last, by itself."""
PART: Final = "Containerfile.part"
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DEFAULTS: Final = {"boolean": "false"}

ParameterType = Literal["string", "integer", "boolean", "list", "choice", "file", "files"]


class Parameter(Section, frozen=True, kw_only=True):
    """One parameter in a `stage.toml`."""

    type: Annotated[
        ParameterType,
        Meta(
            description="`string`, `integer`, `boolean`, `list` (of texts without blanks, joined by blanks), `choice` "
            "(one of `choices`), `file` (a path) or `files` (a path with wildcards, or a list of such)."
        ),
    ]
    help: Annotated[str, Meta(description="What it is for, for people.")] = ""
    default: Annotated[
        object, Meta(description="The value if the recipe gives none; paths are relative to the stage's folder.")
    ] = None
    choices: Annotated[tuple[str, ...], Meta(description="What a `choice` can be.")] = ()
    required: Annotated[bool, Meta(description="Whether a recipe must give it.")] = False


class StageFile(Section, frozen=True, kw_only=True):
    """`stage.toml`: what a stage needs and takes."""

    description: Annotated[str, Meta(description="What the stage does, in one line.")] = ""
    packages: Annotated[
        tuple[Annotated[str, Meta(extra={"rule": rules.package})], ...],
        Meta(description="Debian packages that the stage needs; they are installed with the base, in one go."),
    ] = ()
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


def read_stage(decoder: Decoder, use: Node, folder: Path, given: Mapping[str, Node]) -> Stage | None:
    """The stage in `folder` with the parameters that a recipe gives it at `use`; None if something was wrong."""
    before = len(decoder.problems.found)
    toml = folder / "stage.toml"
    node = read_toml(toml, decoder.problems) if toml.exists() else Node(toml, 1, table={})
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
        default = _default(decoder, node, name, parameter)
        value = given.get(name)
        if value is None and parameter.required:
            hint = parameter.help or None
            decoder.wrong(use, f"stage `{folder.name}` needs its parameter `{name}`", hint)
        reader = _Values(decoder, folder.name, name, parameter, files, is_default=value is None)
        source = value or default
        read: str | Failed = _DEFAULTS.get(parameter.type, "") if source is None else reader.read(source)
        if not isinstance(read, Failed):
            values[name] = read
    if len(decoder.problems.found) > before:
        return None
    return Stage(folder.name, folder, part, values, described.packages, files, described.description)


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


def _default(decoder: Decoder, root: Node, name: str, parameter: Parameter) -> Node | None:
    """The node of a parameter's default, after a look at whether its description makes sense."""
    table = root.table or {}
    node = (table["parameters"].table or {})[name]
    default = (node.table or {}).get("default")
    if not _PARAMETER.fullmatch(name) or name == "use":
        decoder.wrong(
            node, f"`{name}` cannot be a parameter's name: use lower-case letters, digits and _ (but not `use`)"
        )
    if parameter.required and default is not None:
        decoder.wrong(node, f"parameter `{name}` is required, so its default never holds", "leave one of them out")
    if parameter.type == "choice":
        if not parameter.choices:
            decoder.wrong(node, f"parameter `{name}` is a choice without `choices`")
        elif default is None and not parameter.required:
            decoder.wrong(node, f"parameter `{name}` is a choice and needs a default, unless it is required")
    elif parameter.choices:
        decoder.wrong(node, f"parameter `{name}` has choices but is of type {parameter.type}", 'write type = "choice"')
    return default


@dataclass(frozen=True, slots=True)
class _Values:
    """Reads one parameter's value, from the recipe or from the default, to the text of its `ARG`."""

    decoder: Decoder
    stage: str
    name: str
    parameter: Parameter
    files: dict[str, Path]
    is_default: bool

    def read(self, node: Node) -> str | Failed:
        match self.parameter.type:
            case "string":
                return self.decoder.text(node, self.name)
            case "integer":
                number = self.decoder.integer(node, self.name, ())
                return number if isinstance(number, Failed) else str(number)
            case "boolean":
                value = self.decoder.boolean(node, self.name)
                return value if isinstance(value, Failed) else "true" if value else "false"
            case "choice":
                return self.decoder.choice(self.parameter.choices, node, self.name)
            case "list":
                return self.list(node)
            case "file":
                return self.file(node)
            case "files":
                return self.globs(node)

    def list(self, node: Node) -> str | Failed:
        if node.items is None:
            hint = f'write ["{node.value}"]' if isinstance(node.value, str) else None
            return self.decoder.kind(node, self.name, "a list", hint)
        words: list[str] = []
        for item in node.items:
            if isinstance(item.value, int) and not isinstance(item.value, bool):
                words.append(str(item.value))
                continue
            word = self.decoder.text(item, self.name)
            if isinstance(word, Failed):
                return FAILED
            if not word or word.split() != [word]:
                return self.decoder.wrong(
                    item, f'`{self.name}`: "{word[:80]}" cannot be in a list of words: it is empty or has blanks'
                )
            words.append(word)
        return " ".join(words)

    def file(self, node: Node) -> str | Failed:
        text = self.decoder.text(node, self.name)
        if isinstance(text, Failed) or not text:
            return text
        path = beside(node, text)
        if not existing(self.decoder, node, self.name, text, path):
            return FAILED
        target = f"parameters/{self.name}/{path.name}"
        self.files[target] = path
        return target

    def globs(self, node: Node) -> str | Failed:
        """Every file that one or more patterns match; folders among the matches are left out."""
        patterns = [node] if node.items is None else node.items
        for item in patterns:
            text = self.decoder.text(item, self.name)
            if isinstance(text, Failed):
                return FAILED
            if not text:
                continue
            found = _matches(item, text)
            if not found and not self.is_default:
                if glob.has_magic(text):
                    return self.decoder.wrong(item, f'`{self.name}`: no file matches "{text[:200]}"')
                existing(self.decoder, item, self.name, text, beside(item, text))
                return FAILED
            for path in found:
                target = f"parameters/{self.name}/{path.name}"
                other = self.files.setdefault(target, path)
                if other != path:
                    return self.decoder.wrong(
                        item, f"`{self.name}`: {shown(other)} and {shown(path)} have the same name"
                    )
        folder = f"parameters/{self.name}"
        return folder if any(target.startswith(folder + "/") for target in self.files) else ""


def _matches(node: Node, pattern: str) -> list[Path]:
    home = str(beside(node, pattern)) if pattern.startswith(("/", "~/")) else None
    rooted = home or f"{glob.escape(str(node.file.parent))}/{pattern}"
    try:  # glob.glob, because Path.glob refuses absolute and odd patterns, and differs between versions of Python
        found = sorted(glob.glob(rooted, recursive=True))  # noqa: PTH207
        return [path for path in map(Path, found) if path.is_file()]
    except (OSError, ValueError, re.error):
        return []


def split_use(decoder: Decoder, node: Node) -> tuple[str, dict[str, Node]] | None:
    """An item of `stages`: the stage as written and the parameters given; None, and a problem noted, if it is neither
    a text nor a table with `use`."""
    if isinstance(node.value, str):
        return node.value, {}
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
    return name, {key: item for key, item in node.table.items() if key != "use"}
