"""Which line of a TOML file says what.

`tomllib` tells values but not where they stand, and an error in a recipe is only useful with its line. This module
walks over the text of a file that `tomllib` has already accepted (so it need not judge, only skip correctly) and
notes the line of every key, table and list item. TOML is used as in https://toml.io/en/v1.0.0; newlines and comments
inside inline tables (1.1) are skipped as well, so that a newer `tomllib` does no harm.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Final

Path = tuple[str | int, ...]
"""Where a value stands: table keys, and the index inside of lists (`("build", "stages", 0)`)."""

_BLANK: Final = re.compile(r"[ \t]*")
_VOID: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}'  # three quotes end it; up to two more before them are text
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


class _Walk:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.lines: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def line(self) -> int:
        return bisect_right(self.starts, self.at)

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found.group()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def document(self) -> None:
        table: Path = ()
        while True:
            self.skip(_VOID)
            if self.at >= len(self.text):
                return
            before = self.at
            if self.peek() == "[":
                table = self.header()
            else:
                self.pair(table)
            if self.at == before:  # not TOML after all; never loop on it
                return

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; returns the path that the following keys belong to."""
        line = self.line()
        listed = self.text.startswith("[[", self.at)
        self.at += 2 if listed else 1
        keys = self.keys()
        self.at += 2 if listed else 1
        path: Path = ()
        for key in keys[:-1]:
            path = self.enter((*path, key))
            self.lines.setdefault(path, line)
        path = (*path, *keys[-1:])
        if not listed:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        index = self.counts.get(path, 0)
        self.counts[path] = index + 1
        path = (*path, index)
        self.lines[path] = line
        return path

    def enter(self, path: Path) -> Path:
        """A key of a header that names an array of tables means its last table."""
        self.lines.setdefault(path, self.line())
        count = self.counts.get(path)
        return path if count is None else (*path, count - 1)

    def keys(self) -> list[str]:
        """A dotted key, up to what follows it."""
        found: list[str] = []
        while True:
            self.skip(_BLANK)
            if self.peek() in ("'", '"'):
                raw = self.skip(_STRING)
                found.append(_unescaped(raw) if raw[:1] == '"' and "\\" in raw else raw[1:-1])
            else:
                found.append(self.skip(_BARE_KEY))
            self.skip(_BLANK)
            if self.peek() != ".":
                return found
            self.at += 1

    def pair(self, table: Path) -> None:
        line = self.line()
        path = table
        for key in self.keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        if self.peek() == "=":
            self.at += 1
        self.skip(_BLANK)
        self.value(path)

    def value(self, path: Path) -> None:
        mark = self.peek()
        if mark in ("'", '"'):
            self.skip(_STRING)
        elif mark == "[":
            self.items(path)
        elif mark == "{":
            self.inline(path)
        else:
            self.skip(_SCALAR)

    def items(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_VOID)
            mark = self.peek()
            if mark in ("]", ""):
                self.at += 1
                return
            if mark == ",":
                self.at += 1
                continue
            before = self.at
            self.lines[(*path, index)] = self.line()
            self.value((*path, index))
            index += 1
            if self.at == before:
                return

    def inline(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip(_VOID)
            mark = self.peek()
            if mark in ("}", ""):
                self.at += 1
                return
            if mark == ",":
                self.at += 1
                continue
            before = self.at
            self.pair(path)
            if self.at == before:
                return


def _unescaped(quoted: str) -> str:
    try:
        return str(tomllib.loads(f"key = {quoted}")["key"])
    except tomllib.TOMLDecodeError:  # then the text was no TOML, and nobody will ask for this key
        return quoted[1:-1]


def find_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every key, table and list item in `text`, which must be valid TOML.

    A table that several headers and dotted keys make together has the line of its own header if there is one, else
    of the first that mentions it; an array of tables has the line of its first table.
    Raises RecursionError for values nested beyond the interpreter's depth.
    """
    walk = _Walk(text.replace("\r\n", "\n"))
    walk.document()
    return walk.lines
