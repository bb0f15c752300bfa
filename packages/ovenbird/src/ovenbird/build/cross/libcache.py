"""The cache of libraries (/etc/ld.so.cache), as ldconfig(8) would write it, for a tree of any architecture.

The machine's own ldconfig passes over libraries of other architectures, and the tree's own does not run here. Without
the cache the loader would still find what is in its standard folders, but not in those that ld.so.conf adds. Folders
below `glibc-hwcaps` are not looked into: they belong to single models of processors. Format: glibc, elf/cache.c,
elf/ldconfig.c and sysdeps/generic/dl-cache.h; the bytes are those of the real ldconfig of glibc 2.36 and 2.41.
"""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovenbird.boards.board import Facts
from ovenbird.build.cross.rooted import Rooted
from ovenbird.build.elf import read_library

PLACE = "etc/ld.so.cache"
MAGIC = b"glibc-ld.so.cache1.1"
LITTLE_ENDIAN = 2
EXTENSIONS = 0xEAA42174
_HEAD = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_LIBRARY = re.compile(r"(lib|ld-).*\.so")


@dataclass(frozen=True, slots=True)
class Entry:
    """One library: the name that programs ask for, and the path that they get."""

    soname: str
    path: str


def library_order(one: str, two: str) -> int:
    """As _dl_cache_libcmp orders names: digits by their numbers, everything else by its bytes."""
    first, second = one.encode(), two.encode()
    i = j = 0
    while i < len(first):
        if first[i : i + 1].isdigit():
            if j >= len(second) or not second[j : j + 1].isdigit():
                return 1
            begin_i, begin_j = i, j
            while i < len(first) and first[i : i + 1].isdigit():
                i += 1
            while j < len(second) and second[j : j + 1].isdigit():
                j += 1
            difference = int(first[begin_i:i]) - int(second[begin_j:j])
            if difference:
                return difference
        elif j < len(second) and second[j : j + 1].isdigit():
            return -1
        elif j >= len(second) or first[i] != second[j]:
            return first[i] - (second[j] if j < len(second) else 0)
        else:
            i += 1
            j += 1
    return -1 if j < len(second) else 0


def folders(root: Rooted, facts: Facts) -> list[str]:
    """The folders that ldconfig looks into, in its order: those of ld.so.conf, then the standard ones; each once."""
    found: list[str] = []
    seen: set[str] = set()
    standard = (f"/lib/{facts.triplet}", f"/usr/lib/{facts.triplet}", "/lib", "/usr/lib")
    for folder in (*_configured(root, "etc/ld.so.conf"), *standard):
        real = root.real(folder)
        if real not in seen and root.path(folder).is_dir():
            seen.add(real)
            found.append(folder.rstrip("/"))
    return found


def _configured(root: Rooted, file: str) -> Iterator[str]:
    path = root.path(file)
    if not path.is_file():
        return
    for line in path.read_text(errors="replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                folder, _, names = (pattern if pattern.startswith("/") else f"/etc/{pattern}").rpartition("/")
                for match in sorted(root.path(folder).glob(names)):
                    yield from _configured(root, f"{folder}/{match.name}")
        elif words:
            yield words[0].partition("=")[0]


def entries(root: Rooted, facts: Facts) -> list[Entry]:
    """All libraries of the architecture in those folders."""
    found: list[Entry] = []
    for folder in folders(root, facts):
        names: dict[str, None] = {}
        for name in sorted(entry.name for entry in os.scandir(root.path(folder))):
            if not _LIBRARY.match(name):
                continue
            file = root.path(f"{folder}/{name}")
            target = Path(root.resolve(f"{folder}/{name}"))
            if not target.is_file() or (library := read_library(target)) is None or library.machine != facts.elf:
                continue
            soname = library.soname or name
            link = file.is_symlink() and (
                target.name == soname or (target.name.endswith(".so") and soname.startswith(target.name))
            )
            names[name if link else soname] = None
        found += (Entry(name, f"{folder}/{name}") for name in names)
    return found


def encode(found: list[Entry], facts: Facts, generator: bytes | None) -> bytes:
    """The file for these libraries. `generator` is what an existing cache says of who wrote it (see `generator_of`)."""

    def order(one: Entry, two: Entry) -> int:
        return library_order(two.soname, one.soname)

    ordered = sorted(found, key=functools.cmp_to_key(order))
    table, places = _strings({text.encode() for entry in ordered for text in (entry.soname, entry.path)})
    begin = _HEAD.size + _ENTRY.size * len(ordered)
    body = b"".join(
        _ENTRY.pack(facts.library, begin + places[entry.soname.encode()], begin + places[entry.path.encode()], 0, 0)
        for entry in ordered
    )
    end = begin + len(table)
    at = -(-end // 4) * 4 if generator is not None else 0
    data = _HEAD.pack(MAGIC, len(ordered), len(table), LITTLE_ENDIAN, at) + body + table
    if generator is not None:
        data = data.ljust(at, b"\0") + struct.pack("<IIIIII", EXTENSIONS, 1, 0, 0, at + 24, len(generator)) + generator
    return data


def _strings(texts: set[bytes]) -> tuple[bytes, dict[bytes, int]]:
    """One table of strings, each with its place; one that another ends with is not written again."""
    table = b""
    places: dict[bytes, int] = {}
    last = b""
    for text in sorted(texts, key=lambda text: text[::-1], reverse=True):
        if last.endswith(text):
            places[text] = places[last] + len(last) - len(text)
        else:
            places[text] = len(table)
            table += text + b"\0"
            last = text
    return table, places


def generator_of(cache: bytes) -> bytes | None:
    """Who wrote a cache, by its own account; None for one that does not say, as from before glibc 2.33."""
    try:
        magic, _, _, _, at = _HEAD.unpack_from(cache)
        if magic != MAGIC or not at:
            return None
        extensions, count = struct.unpack_from("<II", cache, at)
        for number in range(count if extensions == EXTENSIONS else 0):
            tag, _, offset, size = struct.unpack_from("<IIII", cache, at + 8 + 16 * number)
            if tag == 0:
                return cache[offset : offset + size]
    except struct.error:
        return None
    return None
