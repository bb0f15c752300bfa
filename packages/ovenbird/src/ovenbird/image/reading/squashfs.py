"""Squashfs: the tree of a root image with everything that matters in it, in one pass and without unpacking.

`unsquashfs -pf` writes a definition for every path and then the data of all files, one behind the other; both are read
as they come. A newline in a name is written as it is, so the definitions are read until they make sense, and their
number is held against the file system's own count: a name that pretends to be something else is found out.

Format: squashfs 4.0, `Documentation/filesystems/squashfs.rst` of Linux; definitions: mksquashfs(1), "pseudo files".
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from ovenbird.errors import ImageError
from ovenbird.image.reading.programs import reading_file
from ovenbird.image.reading.region import CHUNK, Region

_SUPERBLOCK: Final = struct.Struct("<4sIIIIHHHHHHQQ")
_COMPRESSION: Final = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_PADDING: Final = 4096
_MARKER: Final = b"# START OF DATA - DO NOT MODIFY\n"
_NAME: Final = rb"((?:[^\\ ]|\\.)+) "
_COMMON: Final = rb"(-?\d+) ([0-7]+) (\d+) (\d+)"
_DEFINITION: Final = re.compile(
    _NAME
    + rb"(?:(?P<kind>[DRSCBI]) "
    + _COMMON
    + rb"(?: (?P<rest>.+))?|L (?P<link>(?:[^\\ ]|\\.)+)|x (?P<attribute>.*))\n",
    re.DOTALL,
)
_LONGEST: Final = 1 << 20
_BIGGEST_KEPT: Final = 64 << 20


class Kind(StrEnum):
    """What a path is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    CHARACTERS = "character device"
    BLOCKS = "block device"
    PIPE = "pipe"
    SOCKET = "socket"


_KINDS: Final = {
    b"R": Kind.FILE,
    b"D": Kind.FOLDER,
    b"S": Kind.LINK,
    b"C": Kind.CHARACTERS,
    b"B": Kind.BLOCKS,
    b"I": Kind.PIPE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path. `mode` are the permission bits, `size` is in bytes, `target` is a link's or a device's, `sha256` a
    file's if it was asked for, `same_as` the first name of a file with several (hard links). `time` (seconds since
    1970) is no difference between two entries.
    """

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""
    sha256: str = ""
    same_as: str = ""
    attributes: tuple[str, ...] = ()
    time: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the first bytes say. `size` is the whole image with its padding, `made` in seconds since 1970."""

    inodes: int
    made: int
    compression: str
    size: int


@dataclass(frozen=True, slots=True)
class Tree:
    """Every path (absolute, `/` included) with its entry, and the content of the files that were asked for."""

    entries: dict[str, Entry]
    contents: dict[str, bytes]


def superblock(region: Region) -> Superblock:
    """Read the superblock. ImageError if it is none, of another version, or the file is cut off."""
    raw = region.read(0, _SUPERBLOCK.size)
    where = str(region.path)
    if len(raw) < _SUPERBLOCK.size or raw[:4] != b"hsqs":
        raise ImageError("this is no squashfs", where=where)
    _, inodes, made, _, _, compression, _, _, _, major, minor, _, used = _SUPERBLOCK.unpack(raw)
    if (major, minor) != (4, 0):
        raise ImageError(f"squashfs {major}.{minor} is not known, only 4.0 is", where=where)
    if used > region.size:
        raise ImageError(f"the root image is cut off: {used} bytes are needed, there are {region.size}", where=where)
    padded = min(-(-used // _PADDING) * _PADDING, region.size)
    return Superblock(inodes, made, _COMPRESSION.get(compression, f"kind {compression}"), padded)


def walk(region: Region, *, keep: Callable[[str], bool] = lambda _: False, data: bool = True) -> Tree:
    """Read the tree. With `data`, every file is hashed, and those that `keep` says yes to are kept.

    Raises ImageError for whatever is damaged.
    """
    where = str(region.path)
    expected = superblock(region).inodes

    def command(pipe: Path) -> list[str | Path]:
        options = ["-quiet", "-no-progress", "-offset", str(region.offset), "-pf"]
        return ["unsquashfs", *options, pipe, region.path.resolve()]

    with reading_file(command, where=where, what="the root image", whole=data) as stream:
        entries, places = _definitions(stream, where)
        if sum(not entry.same_as for entry in entries.values()) != expected:
            raise ImageError(
                "the root image is damaged, or has a name that cannot be told from a definition "
                f"({len(entries)} paths, {expected} inodes)",
                where=where,
            )
        contents: dict[str, bytes] = {}
        if data:
            _hash(stream, entries, places, contents, keep, where)
    for path, entry in entries.items():
        if entry.same_as:
            first = entries.get(entry.same_as)
            if first is None:
                raise ImageError("the root image has a link to nothing", where=where)
            entries[path] = replace(first, same_as=entry.same_as)
    return Tree(entries, contents)


def _definitions(stream: IO[bytes], where: str) -> tuple[dict[str, Entry], list[tuple[int, str]]]:
    """The entries by path, and where the data of each file begins."""
    entries: dict[str, Entry] = {}
    places: list[tuple[int, str]] = []
    pending = b""
    for line in stream:
        pending += line
        if pending == b"#\n" + _MARKER:
            stream.readline()
            return entries, places
        match = _DEFINITION.fullmatch(pending)
        if match is None:
            if len(pending) > _LONGEST:
                break
            continue
        pending = b""
        _define(match, entries, places)
    if pending or not entries:
        raise ImageError("the root image is damaged and cannot be read", where=where)
    return entries, places


def _path(raw: bytes) -> str:
    name = re.sub(rb"\\(.)", rb"\1", raw, flags=re.DOTALL).decode("utf-8", "surrogateescape")
    return name if name.startswith("/") else f"/{name}"


def _define(match: re.Match[bytes], entries: dict[str, Entry], places: list[tuple[int, str]]) -> None:
    path = _path(match[1])
    if match["link"] is not None:
        entries[path] = Entry(Kind.FILE, 0, 0, 0, same_as=_path(match["link"]))
        return
    if match["attribute"] is not None:
        if path in entries:
            text = match["attribute"].decode("utf-8", "surrogateescape")
            entries[path] = replace(entries[path], attributes=(*entries[path].attributes, text))
        return
    kind = _KINDS[match["kind"]]
    rest = match["rest"] or b""
    size, target = 0, ""
    if kind is Kind.FILE:
        numbers = [int(word) for word in rest.split() if word.isdigit()]
        size = numbers[0] if numbers else 0
        places.append((numbers[1] if len(numbers) > 1 else 0, path))
    elif kind is Kind.PIPE:
        kind = Kind.SOCKET if rest == b"s" else Kind.PIPE
    elif kind is not Kind.FOLDER:
        target = rest.decode("utf-8", "surrogateescape")
    mode, uid, gid = int(match[4], 8), int(match[5]), int(match[6])
    entries[path] = Entry(kind, mode, uid, gid, size, target, time=int(match[3]))


def _hash(
    stream: IO[bytes],
    entries: dict[str, Entry],
    places: list[tuple[int, str]],
    contents: dict[str, bytes],
    keep: Callable[[str], bool],
    where: str,
) -> None:
    position = 0
    for place, path in places:
        size = entries[path].size
        if size and place != position:
            raise ImageError("the data of the root image is out of order", where=where)
        digest = hashlib.sha256()
        kept = bytearray() if keep(path) and size <= _BIGGEST_KEPT else None
        left = size
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise ImageError(f"the root image is damaged: {path} cannot be read whole", where=where)
            digest.update(chunk)
            if kept is not None:
                kept += chunk
            left -= len(chunk)
        position += size
        entries[path] = replace(entries[path], sha256=digest.hexdigest())
        if kept is not None:
            contents[path] = bytes(kept)
