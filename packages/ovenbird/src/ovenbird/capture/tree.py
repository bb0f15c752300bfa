"""A tree on its way from a machine into a tarball: its paths, which of them are taken, and the archive.

The archive is the same for the same files: in the order of the paths' bytes, with times in whole seconds, folders as
old as what is in them, and nothing of the machine that wrote it. Owners, modes, capabilities and other attributes are
written as headers (pax, POSIX.1-2001; attributes as `SCHILY.xattr.NAME`, as GNU tar and containers' tools have
them), so that nobody has to be root.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, Protocol

from ovenbird.capture.rules import Rules, Word, lock_passwords
from ovenbird.errors import BuildError, DiskFullError
from ovenbird.run import spawn

_UNWANTED: Final = ("trusted.", "security.selinux", "security.ima", "security.evm", "system.")
"""Attributes that mean something to the former kernel, disk or overlay only."""
_LARGEST_EDITED: Final = 16 << 20


class Kind(StrEnum):
    """What a path is. Sockets are nobody's but a running program's."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    CHARACTERS = "character device"
    BLOCKS = "block device"
    PIPE = "pipe"


_TYPES: Final = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.LINK: tarfile.SYMTYPE,
    Kind.CHARACTERS: tarfile.CHRTYPE,
    Kind.BLOCKS: tarfile.BLKTYPE,
    Kind.PIPE: tarfile.FIFOTYPE,
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A path as a source lists it: absolute, with undecodable bytes as surrogates; `time` in seconds since 1970."""

    path: str
    kind: Kind
    size: int = 0
    time: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A path with all that belongs to it but its content. `hard_link` is the path, read before, of the same file."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    time: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    hard_link: str = ""
    attributes: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


Member = tuple[Entry, IO[bytes]]
"""An entry and the content of a file; what is left of the content is skipped by its source."""


class Source(Protocol):
    """Where a tree is taken from."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of what was read."""
        ...

    def paths(self) -> list[Listed]:
        """Everything that is there but the root itself."""
        ...

    def read(self, chosen: Sequence[str]) -> Iterator[Member]:
        """These paths, which are sorted, in their order; one that is gone by now is left out."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken: the paths in their order with what is done to each, and the folders' times."""

    words: Mapping[str, Word]
    times: Mapping[str, int]
    size: int
    """Bytes of all contents together."""
    left: int
    """How many paths are left out."""


def choose(listed: Sequence[Listed], rules: Rules) -> Choice:
    """Judge every path. A folder that leads to something that is taken is taken as well. Devices are not: the kernel
    makes its own, and a base takes none.
    """
    words: dict[str, Word] = {}
    times: dict[str, int] = {}
    size = 0
    for one in listed:
        word = rules.judge(one.path, folder=one.kind is Kind.FOLDER, file=one.kind is Kind.FILE)
        if word is Word.LEAVE or one.kind in (Kind.CHARACTERS, Kind.BLOCKS):
            continue
        words[one.path] = word
        size += one.size if word is Word.TAKE and one.kind is Kind.FILE else 0
        for folder in _above(one.path):
            words.setdefault(folder, Word.TAKE)
            if one.kind is not Kind.FOLDER:
                times[folder] = max(times.get(folder, 0), one.time)
    there = {one.path: one.kind for one in listed}
    for path, kind in there.items():
        if kind is Kind.FOLDER and path in words:
            times.setdefault(path, 0)
    ordered = {path: words[path] for path in sorted(words, key=os.fsencode) if path in there}
    return Choice(ordered, times, size, len(there) - len(ordered))


def _above(path: str) -> Iterator[str]:
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def write_members(out: IO[bytes], members: Iterator[Member], choice: Choice) -> int:
    """Write an uncompressed tar of what a source reads; returns how many paths it has."""
    count = 0
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in members:
            word = choice.words[entry.path]
            kept, stream = _changed(entry, content, word)
            kept = replace(kept, time=choice.times.get(entry.path, kept.time))
            archive.addfile(header(kept), stream if kept.size else None)
            count += 1
    return count


def _changed(entry: Entry, content: IO[bytes], word: Word) -> Member:
    if word is Word.EMPTY:
        return replace(entry, size=0, hard_link=""), io.BytesIO()
    if word is Word.LOCK:
        locked = lock_passwords(content.read(min(entry.size, _LARGEST_EDITED)))
        return replace(entry, size=len(locked), hard_link=""), io.BytesIO(locked)
    return entry, content


def header(entry: Entry) -> tarfile.TarInfo:
    """The tar header of an entry, by numbers and without names of users."""
    info = tarfile.TarInfo(f".{entry.path}")
    info.type = tarfile.LNKTYPE if entry.hard_link else _TYPES[entry.kind]
    info.mode = entry.mode & 0o7777
    info.uid, info.gid = entry.uid, entry.gid
    info.mtime = max(0, entry.time)
    info.size = entry.size if info.type == tarfile.REGTYPE else 0
    info.linkname = f".{entry.hard_link}" if entry.hard_link else entry.target
    info.devmajor, info.devminor = entry.device
    if not entry.hard_link:
        info.pax_headers = {
            f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
            for name, value in sorted(entry.attributes.items())
            if not name.startswith(_UNWANTED)
        }
    return info


@contextmanager
def compressed(file: Path) -> Generator[IO[bytes]]:
    """A stream that ends as a zstd file: one frame, the same bytes for any number of processors. DiskFullError."""
    with file.open("wb") as out, tempfile.TemporaryFile() as errors:
        command = ["zstd", "-q", "-T0", "-6", "-c"]
        with spawn(command, stdin=subprocess.PIPE, stdout=out, stderr=errors, dies_with_us=True) as process:
            assert process.stdin is not None
            try:
                yield process.stdin
                process.stdin.close()
            except BaseException as error:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                if not isinstance(error, BrokenPipeError):  # It says why below.
                    raise
            if process.wait() == 0:
                return
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").strip()
        if "No space left" in said or "quota" in said:
            raise DiskFullError("no space left on the disk", where=str(file.parent), hint="name a folder with --out")
        raise BuildError(f"the archive cannot be written: {said}", where=str(file))
