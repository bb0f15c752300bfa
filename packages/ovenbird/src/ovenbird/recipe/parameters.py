"""A stage's parameters: what its `stage.toml` says of them, and a recipe's values as the text of their `ARG`s.

Every type ends as one text, because that is what an `ARG` carries: a list's words are joined by blanks, files are
copies in the stage's context, and their `ARG` says where.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from ovenbird.recipe.decode import FAILED, Decoder, Failed, beside, existing
from ovenbird.recipe.model import Section
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.problems import shown

_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]*")
ParameterType = Literal["string", "integer", "boolean", "list", "choice", "file", "files", "folder"]


class Parameter(Section, frozen=True, kw_only=True):
    """One parameter in a `stage.toml`."""

    type: Annotated[
        ParameterType,
        Meta(
            description="`string`, `integer`, `boolean`, `list` (of texts without blanks, joined by blanks), `choice` "
            "(one of `choices`), `file` (a path), `files` (a path with wildcards, or a list of such) or `folder` "
            "(a path; all that is in it counts)."
        ),
    ]
    help: Annotated[str, Meta(description="What it is for, for people.")] = ""
    default: Annotated[
        object, Meta(description="The value if the recipe gives none; paths are relative to the stage's folder.")
    ] = None
    choices: Annotated[tuple[str, ...], Meta(description="What a `choice` can be.")] = ()
    minimum: Annotated[int | None, Meta(description="The least that an `integer` can be.")] = None
    maximum: Annotated[int | None, Meta(description="The most that an `integer` can be.")] = None
    pattern: Annotated[
        str | None,
        Meta(description="A regular expression that a whole `string`, or each item of a `list`, must match."),
    ] = None
    required: Annotated[bool, Meta(description="Whether a recipe must give it.")] = False


def parameter_default(decoder: Decoder, root: Node, name: str, parameter: Parameter) -> Node | None:
    """The node of a parameter's default, after a look at whether its description makes sense."""
    table = root.table or {}
    node = (table["parameters"].table or {})[name]
    default = (node.table or {}).get("default")
    if not _PARAMETER.fullmatch(name) or name in ("use", "emulate"):
        decoder.wrong(
            node,
            f"`{name}` cannot be a parameter's name: use lower-case letters, digits and _ (but not `use` or `emulate`)",
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
    _check_limits(decoder, node, name, parameter)
    return default


def _check_limits(decoder: Decoder, node: Node, name: str, parameter: Parameter) -> None:
    if parameter.type != "integer" and (parameter.minimum is not None or parameter.maximum is not None):
        decoder.wrong(node, f"parameter `{name}` has limits but is of type {parameter.type}", 'write type = "integer"')
    if parameter.pattern is None:
        return
    if parameter.type not in ("string", "list"):
        decoder.wrong(
            node, f"parameter `{name}` has a pattern but is of type {parameter.type}", "leave the pattern out"
        )
    try:
        re.compile(parameter.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        decoder.wrong(node, f"parameter `{name}`: its pattern is no regular expression: {error}")


@dataclass(frozen=True, slots=True)
class ParameterReader:
    """Reads one parameter's value, from the recipe or from the default, to the text of its `ARG`.

    The files that it names are added to `files`: path in the stage's context -> source.
    """

    decoder: Decoder
    name: str
    parameter: Parameter
    files: dict[str, Path]
    is_default: bool

    def read(self, node: Node | None) -> str | Failed:
        """The value of the `ARG`; without a node, what the type has when nothing is given."""
        if node is None:
            return "false" if self.parameter.type == "boolean" else ""
        match self.parameter.type:
            case "string":
                text = self.decoder.text(node, self.name)
                return text if isinstance(text, Failed) else self.matching(node, text)
            case "integer":
                return self.integer(node)
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
            case "folder":
                return self.folder(node)

    def matching(self, node: Node, text: str) -> str | Failed:
        """The text, if it is as the parameter's pattern wants it."""
        pattern = self.parameter.pattern
        if pattern is None or re.fullmatch(pattern, text):
            return text
        return self.decoder.wrong(node, f'`{self.name}` cannot be "{text[:80]}"', self.parameter.help or None)

    def integer(self, node: Node) -> str | Failed:
        """A whole number, within the parameter's limits."""
        number = self.decoder.integer(node, self.name, ())
        if isinstance(number, Failed):
            return number
        least, most = self.parameter.minimum, self.parameter.maximum
        if least is not None and number < least:
            return self.decoder.wrong(node, f"`{self.name}` is {number}, but must be at least {least}")
        if most is not None and number > most:
            return self.decoder.wrong(node, f"`{self.name}` is {number}, but must be at most {most}")
        return str(number)

    def list(self, node: Node) -> str | Failed:
        """Words joined by blanks."""
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
            if isinstance(self.matching(item, word), Failed):
                return FAILED
            words.append(word)
        return " ".join(words)

    def file(self, node: Node) -> str | Failed:
        """One file's place in the context."""
        text = self.decoder.text(node, self.name)
        if isinstance(text, Failed) or not text:
            return text
        path = beside(node, text)
        if not existing(self.decoder, node, self.name, text, path):
            return FAILED
        target = f"parameters/{self.name}/{path.name}"
        self.files[target] = path
        return target

    def folder(self, node: Node) -> str | Failed:
        """A folder's place in the context, with every file and link that is in it."""
        text = self.decoder.text(node, self.name)
        if isinstance(text, Failed) or not text:
            return text
        path = beside(node, text)
        if not path.is_dir():
            return self.decoder.wrong(node, f'`{self.name}`: "{text[:200]}" is no folder')
        if path.resolve() in node.file.resolve().parents:
            return self.decoder.wrong(
                node,
                f'`{self.name}`: "{text[:200]}" holds the recipe itself',
                "put what belongs to it into a folder of its own: every file in it counts",
            )
        target = f"parameters/{self.name}"
        for file in sorted(path.rglob("*")):
            if (file.is_symlink() or file.is_file()) and "__pycache__" not in file.parts:
                self.files[f"{target}/{file.relative_to(path)}"] = file
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
