"""The error policy: what can go wrong is raised as one of these and printed in one place (`cli/app.py`).

An error says what happened, where, and what to do next. It never carries a traceback to the user; a traceback
on the screen is a defect in Ovenbird.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process ends with; scripts may rely on these."""

    OK = 0
    FAILED = 1
    USAGE = 2
    HOST = 3
    NETWORK = 4
    DISK_FULL = 5
    INTERRUPTED = 130


class OvenbirdError(Exception):
    """Something that a user can cause or meet. `hint` is the next thing to do, `where` a file, line or step."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(OvenbirdError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class RecipeError(OvenbirdError):
    """The recipe, or something that it names, is wrong."""

    exit_code = ExitCode.USAGE


class HostError(OvenbirdError):
    """This machine lacks something that the work needs."""

    exit_code = ExitCode.HOST


class NetworkError(OvenbirdError):
    """A server did not answer, or not with what was asked for."""

    exit_code = ExitCode.NETWORK


class DiskFullError(OvenbirdError):
    """A file system of this machine ran out of space."""

    exit_code = ExitCode.DISK_FULL


class BuildError(OvenbirdError):
    """A step of the build failed."""


class CardError(OvenbirdError):
    """A card cannot be written, or does not hold what was written to it."""


class ImageError(OvenbirdError):
    """An image is damaged, foreign or does not fit."""


def from_os_error(error: OSError) -> OvenbirdError:
    """The clear form of an operating system's error: a full disk gets its own kind."""
    place = str(error.filename) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            "no space left on the disk",
            where=place,
            hint="free some space (`ovenbird store gc` empties the store of kept steps) and run the same command again",
        )
    return OvenbirdError((error.strerror or str(error)).lower(), where=place)
