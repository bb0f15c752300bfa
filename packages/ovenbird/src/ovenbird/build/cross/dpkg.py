"""dpkg's own database of installed packages, as text: read, translated, and written as dpkg does.

Formats: deb-control(5), and dpkg's lib/dpkg/parse.c, lib/dpkg/dump.c and lib/dpkg/db-fsys-*.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ovenbird.boards.board import Architecture

# The order in which dpkg writes the fields that it knows (lib/dpkg/parse.c, fieldinfos); others follow as they came.
ORDER = (
    "Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer",
    "Bugs", "Architecture", "Multi-Arch", "Source", "Version", "Config-Version", "Replaces", "Provides", "Depends",
    "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles", "Description",
    "Triggers-Pending", "Triggers-Awaited",
)  # fmt: skip
_RELATIONS = frozenset(
    {"Replaces", "Provides", "Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Enhances"}
)
INSTALLED = "install ok installed"
Paragraph = dict[str, str]
"""The fields of one package by their names; lines that go on keep their first blank."""


def parse(text: str) -> list[Paragraph]:
    """All paragraphs of a control file or status file."""
    found: list[Paragraph] = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        fields: Paragraph = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] += "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.lstrip(" \t")
        if fields:
            found.append({name: value.rstrip() for name, value in fields.items()})
    return found


def dump(paragraphs: Iterable[Paragraph]) -> str:
    """The text of a status file, each paragraph in dpkg's order."""
    return "".join(f"{_text(fields)}\n" for fields in paragraphs)


def _text(fields: Paragraph) -> str:
    names = [name for name in ORDER if name in fields] + [name for name in fields if name not in ORDER]
    # dpkg does not put a blank where a value begins in its next line.
    return "".join(f"{name}:{' ' if fields[name][:1] != chr(10) else ''}{fields[name]}\n" for name in names)


def installed(control: str, *, status: str, conffiles: Mapping[str, str]) -> Paragraph:
    """A package's paragraph in the status file, out of its control file. `conffiles` has their paths and md5s."""
    (fields,) = parse(control)
    written = {name: _relations(value) if name in _RELATIONS else value for name, value in fields.items()}
    written["Status"] = status
    if conffiles:
        written["Conffiles"] = "".join(f"\n {path} {md5}" for path, md5 in conffiles.items())
    return written


def _relations(value: str) -> str:
    """Relations as dpkg writes them: one blank after each comma, around each bar, and before each version."""
    groups: list[str] = []
    for group in value.replace("\n", " ").split(","):
        if group.strip():
            groups.append(" | ".join(_relation(one) for one in group.split("|")))
    return ", ".join(groups)


def _relation(text: str) -> str:
    name, bracket, version = text.strip().partition("(")
    if not bracket:
        return name.strip()
    match = re.fullmatch(r"\s*(<<|<=|>>|>=|=|<|>)?\s*(\S+?)\s*\)", version)
    return f"{name.strip()} ({match[1] or '='} {match[2]})" if match else text.strip()


def info_name(package: str, architecture: str, multiarch: str) -> str:
    """How the names of a package's files below `info` begin."""
    return f"{package}:{architecture}" if multiarch == "same" else package


def architecture_field(text: str, names: Names) -> str:
    """apt's list of what was installed by itself (extended_states), for the target."""
    return re.sub(rf"(?m)^Architecture: {re.escape(names.host.debian)}$", f"Architecture: {names.target.debian}", text)


@dataclass(frozen=True)
class Names:
    """The names of the host's architecture, and what they are on the target."""

    host: Architecture
    target: Architecture

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        facts = self.host.facts
        loader = rf"(?P<folder>lib64/)?{re.escape(facts.loader)}"
        # Not where the name goes on: x86_64-linux-gnux32 is another architecture.
        return re.compile(rf"(?P<triplet>{re.escape(facts.triplet)})(?![a-z0-9])|{loader}")

    def path(self, text: str) -> str:
        """A path, or a text with paths in it, for the target."""

        def other(match: re.Match[str]) -> str:
            if match["triplet"]:
                return self.target.facts.triplet
            return ("lib/" if match["folder"] else "") + self.target.facts.loader

        return self._pattern.sub(other, text)

    def shows(self, text: str) -> bool:
        """Whether a path names the host's architecture."""
        return self._pattern.search(text) is not None

    def database(self, text: str) -> str:
        """A text of dpkg's database: paths, and packages with their architecture (`libc6:amd64`)."""
        return re.sub(rf":{self.host.debian}\b", f":{self.target.debian}", self.path(text))


@dataclass(frozen=True, slots=True)
class Diversions:
    """Which packages' files lie elsewhere (dpkg-divert(1)): path -> where it is now, and the one package that it is
    not moved for."""

    moved: Mapping[str, tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> Diversions:
        """Read dpkg's file: three lines each."""
        lines = text.splitlines()
        return cls({lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)})

    def place(self, path: str, package: str) -> str:
        """Where a package's path (with its first slash) really is."""
        found = self.moved.get(path)
        return path if found is None or found[1] == package else found[0]
