"""Small JSON files on data that must be whole or absent: written aside, flushed, renamed.

They tell people what happened; nothing that decides over a boot is in them. The agent may read them, so they belong to
the group of the folder that they are in.
"""

from __future__ import annotations

import os
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


def save(path: Path, value: object) -> None:
    """Write the file so that a power cut leaves the old or the new content. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    aside = path.with_name(path.name + ".new")
    number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with open(number, "wb") as file:  # noqa: PTH123 - takes over the number, with the mode it was opened with
        with suppress(PermissionError):  # not readable for the agent is better than not kept
            os.fchown(number, -1, path.parent.stat().st_gid)
        os.fchmod(number, 0o640)
        file.write(msgspec.json.encode(value) + b"\n")
        file.flush()
        os.fsync(number)
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
