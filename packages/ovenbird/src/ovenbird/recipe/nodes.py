"""A recipe's values together with where each was written, so that a mistake can be shown in its file and line.

Files are read here (TOML, lines found by `lines.py`) and merged: tables merge key by key, lists append, and anything
else that comes later wins.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from ovenbird.recipe import lines
from ovenbird.recipe.problems import Problems, shown

_TOML_PLACE: Final = re.compile(
    r"^(?P<message>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL
)
_INTEGER_LIMIT: Final = 1 << 63  # TOML promises 64 bits; Python would take more, and then cannot print them
_DEPTH_LIMIT: Final = 64
_LARGEST: Final = 4 << 20
"""Bytes of the largest file that can be a recipe; far above any, so that a wrong name is not read for minutes."""


class _NumberError(ValueError):
    """A number that TOML does not promise to carry."""

    def __init__(self, line: int) -> None:
        super().__init__("this number is too large")
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a recipe and where it was written.

    Exactly one of the three is meant: `table` (nodes by key) or `items` (nodes in order) if it is not None, else the
    plain `value` (text, number, boolean, date or time).
    """

    file: Path
    line: int
    value: object = None
    table: dict[str, Node] | None = None
    items: list[Node] | None = None

    def plain(self) -> object:
        """The value as `tomllib` had it."""
        if self.table is not None:
            return {key: node.plain() for key, node in self.table.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.value


def read_toml(file: Path, problems: Problems) -> Node | None:
    """The nodes of a TOML file; None, and a problem noted, if it cannot be read or is not TOML."""
    try:
        if file.is_file() and file.stat().st_size > _LARGEST:
            problems.add("this file is far too large for a recipe", file=file)
            return None
        raw = file.read_bytes()
    except OSError as error:
        problems.add(f"cannot be read: {(error.strerror or str(error)).lower()}", file=file)
        return None
    return parse_toml(raw, file, problems)


def parse_toml(raw: bytes, file: Path, problems: Problems) -> Node | None:
    """The nodes of a TOML text, as `read_toml`."""
    try:
        source = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problems.add("this is not UTF-8 text", file=file, line=line)
        return None
    try:
        data = tomllib.loads(source)
        places = lines.find_lines(source)
        return _nodes(data, file, places, (), 1)
    except RecursionError:
        problems.add("values are nested far too deeply", file=file)
    except tomllib.TOMLDecodeError as error:
        problems.add(_toml_message(str(error), source), file=file, line=_toml_line(str(error), source))
    except _NumberError as error:
        problems.add(str(error), file=file, line=error.line)
    except ValueError as error:  # a number of thousands of digits, a date that is none
        problems.add(f"not TOML: {error}", file=file)
    return None


def _toml_message(message: str, source: str) -> str:
    found = _TOML_PLACE.match(message)
    said = found["message"] if found else message
    if found and found["line"] and source.startswith("\ufeff") and found["line"] == "1":
        return "not TOML: the file begins with a byte order mark; save it without"
    column = f", column {found['column']}" if found and found["column"] else ""
    return f"not TOML: {said[:1].lower()}{said[1:]}{column}"


def _toml_line(message: str, source: str) -> int | None:
    found = _TOML_PLACE.match(message)
    if found is None:
        return None
    return int(found["line"]) if found["line"] else max(1, source.rstrip("\n").count("\n") + 1)


def _nodes(value: object, file: Path, places: dict[lines.Path, int], path: lines.Path, line: int) -> Node:
    if len(path) > _DEPTH_LIMIT:
        raise RecursionError
    line = places.get(path, line)
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        return Node(file, line, table={key: _nodes(table[key], file, places, (*path, key), line) for key in table})
    if isinstance(value, list):
        items = cast("list[object]", value)
        return Node(file, line, items=[_nodes(item, file, places, (*path, at), line) for at, item in enumerate(items)])
    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise _NumberError(line)
    return Node(file, line, value)


def merge(first: Node, later: Node, problems: Problems, path: str = "") -> Node:
    """`first` overlaid with `later`. A table or list against something of another kind is a problem."""
    if first.table is not None and later.table is not None:
        merged = dict(first.table)
        for key, node in later.table.items():
            known = merged.get(key)
            merged[key] = node if known is None else merge(known, node, problems, f"{path}.{key}" if path else key)
        return Node(later.file, later.line, table=merged)
    if first.items is not None and later.items is not None:
        return Node(later.file, later.line, items=[*first.items, *later.items])
    if any(part is not None for part in (first.table, later.table, first.items, later.items)):
        problems.add(
            f"`{path}` is {kind(later)} here, but {kind(first)} in {shown(first.file)}:{first.line}",
            file=later.file,
            line=later.line,
        )
    return later


def kind(node: Node) -> str:
    """What a value is, in words."""
    if node.table is not None:
        return "a table"
    if node.items is not None:
        return "a list"
    match node.value:
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case _:
            return "a date or time"
