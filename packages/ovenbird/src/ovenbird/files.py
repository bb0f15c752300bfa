"""Files, written so that a reader sees the old or the new content and never a half: write beside, then rename."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Read once: asking for it means setting it, which other threads would see.
_UMASK = os.umask(0o022)
os.umask(_UMASK)


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(target: Path) -> Generator[Path]:
    """A path beside `target` to write to; it takes the target's place when the context ends well, else it goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(number)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_UMASK)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(target: Path, content: bytes) -> None:
    """Give a file its content in one step."""
    with replacing(target) as beside:
        beside.write_bytes(content)


@contextmanager
def locked(file: Path, *, shared: bool = False) -> Generator[BinaryIO]:
    """Hold a lock between processes for the time of the context; waits for others. The kernel frees it with us."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield stream
