"""From nodes to the model's frozen values, noting every mistake on the way instead of stopping at the first.

The types and annotations of the model are followed: a struct is a table, a tuple a list, a `Literal` a closed choice;
`Meta(extra={"read": …})` names one of the readers below, `extra={"rule": …}` a rule for a text. msgspec's own
conversion would stop at the first mistake and could not tell lines.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ovenbird.recipe.duration import format_duration, parse_duration
from ovenbird.recipe.nodes import Node, kind
from ovenbird.recipe.problems import Problems, did_you_mean, nearest, shown
from ovenbird.recipe.rules import Rule
from ovenbird.recipe.size import format_size, parse_size

T = TypeVar("T", bound=msgspec.Struct)


class Failed:
    """The value of something that was wrong and has been noted."""


FAILED: Final = Failed()
Reader = Callable[["Decoder", Node, str, Mapping[str, Any]], object]
"""Reads one value: the decoder (for its problems), the node, the key's name, the annotation's `extra`."""


@cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls, include_extras=True)


class Decoder:
    """Decodes nodes; what is wrong goes to `problems`."""

    def __init__(self, problems: Problems, readers: Mapping[str, Reader] | None = None) -> None:
        self.problems = problems
        self.readers: dict[str, Reader] = {
            "size": read_size,
            "duration": read_duration,
            "file": read_file,
            "certificate": read_certificate,
            **(readers or {}),
        }

    def wrong(self, node: Node, message: str, hint: str | None = None) -> Failed:
        """Notes a problem at a node; returns FAILED."""
        self.problems.add(message, file=node.file, line=node.line, hint=hint)
        return FAILED

    def struct(self, cls: type[T], node: Node, label: str = "") -> T | None:
        """A table as the struct `cls`; None if something in it was wrong. `label` is its name for people."""
        if node.table is None:
            shown = f"`{label}` is" if label else "this is"
            self.wrong(node, f"{shown} {kind(node)}, but must be a table", f"write it as [{label}]" if label else None)
            return None
        hints = _hints(cls)
        fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
        misspelt = {self.unknown(node.table[key], key, label, fields) for key in node.table if key not in fields}
        values: dict[str, object] = {}
        failed = False
        for name, field in fields.items():
            item = node.table.get(name)
            if item is None:
                if field.required and name not in misspelt:
                    self.missing(node, name, label, hints[field.name])
                failed = failed or field.required
                continue
            value = self.value(hints[field.name], item, f"{label}.{name}" if label else name)
            if isinstance(value, Failed):
                failed = True
            else:
                values[field.name] = value
        return None if failed else cls(**values)

    def unknown(self, node: Node, key: str, label: str, names: Iterable[str]) -> str | None:
        """Notes a key that the model has not; returns the one that was probably meant."""
        place = f" in [{label}]" if label else ""
        what = "section" if not label and (node.table is not None or node.items) else "key"
        near = nearest(key, names)
        self.wrong(node, f"unknown {what} `{key[:80]}`{place}", did_you_mean(key, names))
        return near

    def missing(self, node: Node, name: str, label: str, hint: object) -> None:
        """Notes a key that must be there."""
        bare, meta = annotated(hint)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            keys = [field.encode_name for field in msgspec.structs.fields(bare) if field.required]
            self.problems.add(f"the section [{name}] is missing", file=node.file, hint=f"it needs {', '.join(keys)}")
            return
        examples = [example for part in meta for example in (part.examples or ())]
        wanted = f'write `{name} = "{examples[0]}"`, for example' if examples else None
        self.wrong(node, f"`{name}` is missing" + (f" in [{label}]" if label else ""), wanted)

    def value(self, hint: object, node: Node, label: str) -> object:
        """A value of the type that a hint asks for, or FAILED."""
        bare, metas = annotated(hint)
        extra: dict[str, Any] = {}
        for meta in metas:
            extra.update(meta.extra or {})
        if "read" in extra:
            return self.readers[extra["read"]](self, node, label, extra)
        origin = get_origin(bare)
        if origin is tuple:
            return self.items(get_args(bare)[0], node, label)
        if origin is Literal:
            return self.choice(get_args(bare), node, label)
        if origin is dict:
            return self.mapping(get_args(bare)[1], node, label)
        if bare is str:
            return self.text(node, label, extra.get("rule"))
        if bare is bool:
            return self.boolean(node, label)
        if bare is int:
            return self.integer(node, label, metas)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            value = self.struct(bare, node, label)
            return FAILED if value is None else value
        return node.plain()

    def kind(self, node: Node, label: str, wanted: str, hint: str | None = None) -> Failed:
        """Notes a value of the wrong kind."""
        return self.wrong(node, f"`{label}` is {kind(node)}, but must be {wanted}", hint)

    def text(self, node: Node, label: str, rule: Rule | None = None) -> str | Failed:
        """A text, judged by a rule."""
        if not isinstance(node.value, str):
            plain = isinstance(node.value, int | float) and not isinstance(node.value, bool)
            return self.kind(node, label, "a text", f'write "{node.value}" in quotes' if plain else None)
        if "\0" in node.value:
            return self.wrong(node, f"`{label}` contains a zero character")
        complaint = rule(node.value) if rule else None
        return node.value if complaint is None else self.wrong(node, f"`{label}`: {complaint.message}", complaint.hint)

    def boolean(self, node: Node, label: str) -> bool | Failed:
        """true or false."""
        if isinstance(node.value, bool):
            return node.value
        return self.kind(node, label, "true or false", _boolean_hint(node))

    def file(self, node: Node, label: str) -> Path | Failed:
        """An existing file's path."""
        return read_file(self, node, label, {})

    def integer(self, node: Node, label: str, metas: Sequence[msgspec.Meta]) -> int | Failed:
        """A whole number within the annotation's limits."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int):
            number = isinstance(value, str) and value.strip().isascii() and value.strip().isdigit()
            return self.kind(node, label, "a whole number", f"write {value} without quotes" if number else None)
        for meta in metas:
            least, most = meta.ge, meta.le
            if (least is not None and value < least) or (most is not None and value > most):
                return self.wrong(node, f"`{label}` is {value}, but must be from {least} to {most}")
        return value

    def choice(self, choices: Sequence[str], node: Node, label: str) -> str | Failed:
        """One of a closed set of texts."""
        value = self.text(node, label)
        if isinstance(value, Failed) or value in choices:
            return value
        return self.wrong(
            node, f'`{label}` cannot be "{value[:80]}"', did_you_mean(value, choices, otherwise="possible are")
        )

    def items(self, hint: object, node: Node, label: str) -> tuple[object, ...] | Failed:
        """A list; the same item again (from an included file) counts once where items are plain texts, unless they are
        lines whose order says something.
        """
        if node.items is None:
            text = isinstance(node.value, str)
            return self.kind(
                node, label, "a list", f'write ["{node.value}"]' if text and len(str(node.value)) < 80 else None
            )
        values = [self.value(hint, item, label) for item in node.items]
        if any(isinstance(value, Failed) for value in values):
            return FAILED
        repeats = any((meta.extra or {}).get("repeats") for meta in annotated(hint)[1])
        if not repeats and all(isinstance(value, str) for value in values):
            return tuple(dict.fromkeys(values))
        return tuple(values)

    def mapping(self, hint: object, node: Node, label: str) -> dict[str, object] | Failed:
        """A table of things of one kind by name."""
        if node.table is None:
            return self.kind(node, label, "a table", f"write it as [{label}]")
        values = {key: self.value(hint, item, f"{label}.{key}") for key, item in node.table.items()}
        return FAILED if any(isinstance(value, Failed) for value in values.values()) else values


def annotated(hint: object) -> tuple[object, tuple[msgspec.Meta, ...]]:
    """A type hint without its annotations and without `| None`, and its annotations."""
    metas: list[msgspec.Meta] = []
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *annotations = get_args(hint)
            metas += [part for part in annotations if isinstance(part, msgspec.Meta)]
        elif origin in (Union, types.UnionType):
            hint = next(part for part in get_args(hint) if part is not type(None))
        else:
            return hint, tuple(metas)


def _boolean_hint(node: Node) -> str | None:
    word = str(node.value).lower()
    if word in ("true", "yes", "on", "1"):
        return "write true, without quotes"
    return "write false, without quotes" if word in ("false", "no", "off", "0") else None


def read_size(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> int | Failed:
    """A size in bytes, from "512M"."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        hint = f'write "{node.value}M" for that many mebibytes' if 0 <= node.value < 1 << 40 else None
        return decoder.kind(node, label, "a size in quotes", hint)
    text = decoder.text(node, label)
    if isinstance(text, Failed):
        return text
    try:
        size = parse_size(text)
    except ValueError as error:
        return decoder.wrong(node, f"`{label}`: {error}")
    least, most = extra["least"], extra["most"]
    if not least <= size <= most:
        limit = f"at least {format_size(least)}" if size < least else f"at most {format_size(most)}"
        return decoder.wrong(node, f"`{label}` is {text}, but must be {limit}")
    if size % (1 << 20):
        return decoder.wrong(
            node, f"`{label}` is {text}, which is not a whole number of mebibytes", f'write "{(size >> 20) + 1}M"'
        )
    return size


def read_duration(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> int | Failed:
    """A time in seconds, from "90s"."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        hint = f'write "{node.value}s" for that many seconds' if 0 <= node.value < 1 << 30 else None
        return decoder.kind(node, label, "a time in quotes", hint)
    text = decoder.text(node, label)
    if isinstance(text, Failed):
        return text
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        return decoder.wrong(node, f"`{label}`: {error}")
    least, most = extra["least"], extra["most"]
    if least <= seconds <= most:
        return seconds
    limit = f"at least {format_duration(least)}" if seconds < least else f"at most {format_duration(most)}"
    return decoder.wrong(node, f"`{label}` is {text}, but must be {limit}")


def beside(node: Node, written: str) -> Path:
    """A path as written in a recipe file, found from that file's folder; `~/` is the user's home."""
    path = Path(written)
    if written.startswith("~/"):
        with contextlib.suppress(RuntimeError):  # no home: then it is a folder of that name, and missing
            path = path.expanduser()
    return Path(node.file.parent, path)


def read_file(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> Path | Failed:
    """An existing file's path."""
    text = decoder.text(node, label)
    if isinstance(text, Failed):
        return text
    path = beside(node, text)
    return path if existing(decoder, node, label, text, path) else FAILED


def read_certificate(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> Path | Failed:
    """An existing file's path, with certificates in PEM form and by no means a private key: it goes into images."""
    text = decoder.text(node, label)
    if isinstance(text, Failed):
        return text
    path = beside(node, text)
    if path.suffix == ".pem" and not path.parent.is_dir():
        # As in a fresh checkout: nobody has made the key yet.
        hint = f"`ovenbird keys new {path.stem} --to {shown(path.parent)}` makes a key and puts its certificate there"
        return decoder.wrong(node, f'`{label}`: there is no file "{text[:200]}"', hint)
    if not existing(decoder, node, label, text, path):
        return FAILED
    try:
        content = path.read_bytes()
    except OSError as error:
        return decoder.wrong(node, f"`{label}`: {path.name} cannot be read: {(error.strerror or str(error)).lower()}")
    if b"PRIVATE KEY-----" in content:
        return decoder.wrong(
            node,
            f"`{label}`: {path.name} holds a private key, which must never be in an image",
            "name the certificate: `ovenbird keys show NAME --pem` prints it",
        )
    if b"-----BEGIN CERTIFICATE-----" not in content:
        return decoder.wrong(
            node, f"`{label}`: {path.name} is no certificate in PEM form", "`ovenbird keys new NAME` makes one"
        )
    return path


def existing(decoder: Decoder, node: Node, label: str, written: str, path: Path) -> bool:
    """Whether a path is a readable file; if not, the problem is noted, with the nearest name in its folder."""
    try:
        if path.is_file():
            return True
        if path.is_dir():
            decoder.wrong(node, f'`{label}`: "{written}" is a folder, but must be a file')
            return False
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError):
        names = []
    near = did_you_mean(path.name, names) if names else f"there is no folder {path.parent.name}" if written else None
    hint = near if near and near.startswith(("did", "there")) else None
    decoder.wrong(node, f'`{label}`: there is no file "{written[:200]}"', hint)
    return False
