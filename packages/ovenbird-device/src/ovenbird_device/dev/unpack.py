"""Unpacks a program that came over the network into a fresh folder, as root: nothing outside of it, not too much.

Owner, group, times and all bits but "executable" are the archive's wish and not followed. The folder belongs to root
alone while it is filled, and everything in it was made here, so that no name can lead anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from ..format import FormatError, ustar

MOST_BYTES = 512 << 20
MOST_ENTRIES = 20_000
_PIECE = 1 << 18
_LEFT = 64 << 20
"""Bytes that stay free."""

Read = Callable[[int], bytes]
"""Up to so many bytes of the archive; none at its end."""


class Limits(msgspec.Struct, frozen=True):
    """How much an archive may bring."""

    size: int = MOST_BYTES
    entries: int = MOST_ENTRIES

    @classmethod
    def on(cls, folder: Path) -> Limits:
        """What there is room for beside an existing folder. OSError."""
        room = os.statvfs(folder)
        return cls(size=max(0, min(MOST_BYTES, room.f_bavail * room.f_frsize - _LEFT)))


class Unpacked(msgspec.Struct, frozen=True):
    """What came."""

    entries: int
    size: int


def unpack(read: Read, folder: Path, limits: Limits) -> Unpacked:
    """Make `folder`, which must not be there, out of an archive. Raises FormatError, OSError; what was made stays."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    made: dict[str, str] = {}
    size = 0
    while (entry := ustar.header(_exactly(read, ustar.BLOCK))) is not None:
        size += entry.size
        if size > limits.size:
            raise FormatError(f"the program is too large: {limits.size >> 20} MiB are taken at most")
        _parents(entry.name, folder, made)
        if entry.kind == "folder" and made.get(entry.name) == "folder":
            continue
        if entry.name in made:
            raise FormatError(f"{entry.name!r} is in the archive twice")
        made[entry.name] = entry.kind
        if len(made) > limits.entries:
            raise FormatError(f"there are more than {limits.entries} files")
        place = folder / entry.name
        match entry.kind:
            case "folder":
                _folder(place)
            case "link":
                if not ustar.stays_inside(entry.name, entry.target):
                    raise FormatError(f"the link {entry.name!r} leads out of the program's folder")
                place.symlink_to(entry.target)
            case "file":
                _file(place, entry, read)
    while read(_PIECE):
        pass  # an archive is padded; its sender waits until that has been taken
    return Unpacked(len(made), size)


def _parents(name: str, folder: Path, made: dict[str, str]) -> None:
    """Make the folders that a name stands in. None of them may be anything else."""
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        parent = "/".join(parts[:count])
        if parent not in made:
            made[parent] = "folder"
            _folder(folder / parent)
        elif made[parent] != "folder":
            raise FormatError(f"{parent!r} is no folder, and has files")


def _folder(place: Path) -> None:
    place.mkdir(mode=0o755)
    place.chmod(0o755)


def _file(place: Path, entry: ustar.Entry, read: Read) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        left = entry.size
        while left:
            data = _exactly(read, min(left, _PIECE))
            file.write(data)
            left -= len(data)
        os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)
    _exactly(read, ustar.padding(entry.size))


def _exactly(read: Read, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        data = read(count)
        if not data:
            raise FormatError("the archive is cut off")
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def remove(folder: Path) -> None:
    """Take a folder away, if it is there; what cannot be removed stays for the next boot."""
    import shutil

    with suppress(OSError):
        shutil.rmtree(folder)
