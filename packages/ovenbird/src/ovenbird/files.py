"""Files, written so that a reader sees the old or the new content and never a half: write beside, then rename."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Read once: asking for it means setting it, which other threads would see.
_UMASK = os.umask(0o022)
os.umask(_UMASK)

FICLONE = 0x40049409  # linux/fs.h: share another file's blocks


def sha256_of(file: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_sparse(file: Path) -> str:
    """The same for a file that is mostly holes: they are not read, which takes longer than to hash them."""
    digest = hashlib.sha256()
    zeros = memoryview(bytes(1 << 20))
    buffer = memoryview(bytearray(1 << 20))
    with file.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        place = 0
        for begin, end in (*data_ranges(stream.fileno()), (size, size)):
            while place < begin:
                piece = min(begin - place, len(zeros))
                digest.update(zeros[:piece])
                place += piece
            stream.seek(begin)
            while place < end:
                piece = stream.readinto(buffer[: min(end - place, len(buffer))])
                if not piece:
                    raise OSError(f"{file} became shorter while it was read")
                digest.update(buffer[:piece])
                place += piece
    return digest.hexdigest()


def data_ranges(number: int) -> Iterator[tuple[int, int]]:
    """Where the parts of an open file that are no holes begin and end, in bytes and in order."""
    place, size = 0, os.fstat(number).st_size
    while place < size:
        try:
            begin = os.lseek(number, place, os.SEEK_DATA)
        except OSError:
            return  # ENXIO: only a hole is left.
        place = os.lseek(number, begin, os.SEEK_HOLE)
        yield begin, place


def copy_into(source: Path, target: int, offset: int = 0) -> None:
    """Copy the parts of a file that are no holes to `offset` (bytes) of the open file `target`."""
    with source.open("rb") as stream:
        for begin, end in data_ranges(stream.fileno()):
            while begin < end:
                begin += _copy_some(stream.fileno(), begin, target, offset + begin, end - begin)


def _copy_some(source: int, at: int, target: int, to: int, size: int) -> int:
    try:
        copied = os.copy_file_range(source, target, size, at, to)
    except OSError:  # Across file systems, or one that cannot: the plain way.
        copied = os.pwrite(target, os.pread(source, min(size, 1 << 20), at), to)
    if not copied:
        raise OSError("a file became shorter while it was copied")
    return copied


def copy_sparse(source: Path, target: Path, size: int | None = None) -> None:
    """Put a copy of a file in `target`'s place, with its holes and, if told, `size` bytes."""
    with replacing(target) as beside:
        fill_sparse(source, beside, size)


def fill_sparse(source: Path, target: Path, size: int | None = None) -> None:
    """Write a file's content and holes into `target`, by sharing its blocks where the file system can."""
    with target.open("wb") as writing:
        try:
            with source.open("rb") as reading:
                fcntl.ioctl(writing, FICLONE, reading.fileno())
        except OSError:  # Another file system, or one that shares nothing.
            copy_into(source, writing.fileno())
        writing.truncate(source.stat().st_size if size is None else size)


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
