"""Small JSON files on data that must be whole or absent: written aside, flushed, renamed.

They tell people what happened; nothing that decides over a boot is in them. The agent may read them, so they belong to
the group of the folder that they are in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

FOLDER = Path("/data/ovenbird")
_Value = TypeVar("_Value")


def load(path: Path, kind: type[_Value]) -> _Value | None:
    """The value in a file; None if there is none that makes sense."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def save(path: Path, value: object, mode: int = 0o640) -> None:
    """Write the file so that a power cut leaves the old or the new content. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    aside = path.with_name(path.name + ".new")
    number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(number, "wb") as file:  # noqa: PTH123 - takes over the number, with the mode it was opened with
        with suppress(PermissionError):  # not readable for the agent is better than not kept
            os.fchown(number, -1, path.parent.stat().st_gid)
        os.fchmod(number, mode)
        file.write(msgspec.json.encode(value) + b"\n")
        file.flush()
        os.fsync(number)
    aside.replace(path)
    flush_folder(path.parent)


def publish(path: Path, text: str) -> None:
    """Replace a small text file as a whole, durably, for every user to read. Raises OSError."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)
    aside = path.with_name(f".{path.name}.new")
    number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(number, "w") as file:  # noqa: PTH123 - takes over the number, with the mode it was opened with
        os.fchmod(number, 0o644)
        file.write(text)
        file.flush()
        os.fsync(number)
    aside.replace(path)
    flush_folder(path.parent)


def append(path: Path, line: bytes, most: int, former: Path) -> None:
    """Add a line to a file, durably; a file that would grow beyond `most` bytes first becomes `former`.

    A line that was cut off stays a broken line of its own. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with suppress(FileNotFoundError):
        if path.stat().st_size + len(line) + 1 > most:
            path.replace(former)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    with open(number, "ab") as file:  # noqa: PTH123 - takes over the number, with the mode it was opened with
        end = os.fstat(number).st_size
        fresh = end == 0
        if fresh:
            with suppress(PermissionError):
                os.fchown(number, -1, path.parent.stat().st_gid)
            os.fchmod(number, 0o640)
        torn = not fresh and os.pread(number, 1, end - 1) != b"\n"
        file.write((b"\n" if torn else b"") + line + b"\n")
        file.flush()
        os.fsync(number)
    if fresh:
        flush_folder(path.parent)


def newest(paths: Sequence[Path], kind: type[_Value], most: int, limit: int) -> list[_Value]:
    """The last `most` values of files with a value a line, newest first; `paths` are the files, newest first.

    Not more than twice `limit` bytes of a file are read. Lines that make no sense are passed over.
    """
    found: list[_Value] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                lines = file.read(2 * limit).splitlines()
        except OSError:
            continue
        for line in reversed(lines):
            if len(found) == most:
                return found
            with suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=kind))
    return found


def flush_folder(path: Path) -> None:
    """Have the folder's names on the disk. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def now() -> int:
    """Seconds since 1970, as far as the device knows."""
    return int(time.time())
