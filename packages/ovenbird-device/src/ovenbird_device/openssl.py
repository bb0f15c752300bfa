"""The `openssl` program, which every image has. Its files are in memory, and what it says is the caller's to judge."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAM = "openssl"
PATIENCE: Final = 60.0
"""Seconds that the program may take; it needs hundredths."""


class OpensslError(Exception):
    """The program is missing, or does not end."""


def openssl(
    *words: str | Path, files: Sequence[int] = (), configuration: str | Path = "/dev/null"
) -> subprocess.CompletedProcess[bytes]:
    """Run it. `files` are the descriptors that its words name by `path_of`. Raises OpensslError."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        return subprocess.run(
            [PROGRAM, *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=files,
            timeout=PATIENCE,
            env={"PATH": path, "LC_ALL": "C.UTF-8", "OPENSSL_CONF": str(configuration)},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OpensslError(f"openssl cannot be run: {error}") from error


@contextmanager
def in_memory(name: str, content: bytes) -> Generator[int]:
    """An open file in memory: no disk, no name that another process could meet."""
    number = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(number, view) :]
        os.lseek(number, 0, os.SEEK_SET)
        yield number
    finally:
        os.close(number)


def path_of(number: int) -> str:
    """How a descriptor is called by its own process, and by a program that inherits it."""
    return f"/proc/self/fd/{number}"
