"""Writing to and reading from the medium itself: what an update touches, it touches through here.

Two things matter. A flush must mean that everything before is on the medium, and what is read back must come from the
medium and not from memory. Therefore O_DIRECT, which also keeps an update from pushing everything else out of the page
cache; where a file system or a device does not take it, buffered writes, `fsync`, and pages dropped before a read.

`Blocks` is the seam: the proof of the crash points (`tests/crash`) records every write and flush behind it.
"""

from __future__ import annotations

import errno
import mmap
import os
import queue
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

SECTOR = 512
ALIGNED = 4096
"""What writes are padded and aligned to: the largest block that any common medium has."""
CHUNK = 1 << 20
"""Bytes of one write: large enough for an SD card to be fast, small enough for a small machine."""


class Blocks(Protocol):
    """A run of bytes on a medium, let go of at the end of its context. Offsets and sizes in bytes; every method raises
    OSError.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from the medium."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`; it may be on the medium only after the next `flush`."""
        ...

    def flush(self) -> None:
        """Everything written before is on the medium when this returns."""
        ...


class Medium:
    """A partition, or a part of an image file. One thread at a time."""

    def __init__(
        self, path: Path, offset: int = 0, size: int | None = None, *, writable: bool = False, alone: bool = False
    ) -> None:
        """`size` bytes from `offset` of a device or file. `alone`: fail (EBUSY) if a block device is mounted or held
        by somebody else. Raises OSError.
        """
        flags = os.O_CLOEXEC | (os.O_RDWR if writable else os.O_RDONLY)
        if alone and stat.S_ISBLK(path.stat().st_mode):
            flags |= os.O_EXCL
        self._direct = True
        try:
            self.number = os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._direct = False
            self.number = os.open(path, flags)
        self._offset = offset
        self._buffer = mmap.mmap(-1, CHUNK)  # page-aligned, as O_DIRECT wants it
        try:
            self.size = size if size is not None else os.lseek(self.number, 0, os.SEEK_END) - offset
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_at(self, offset: int, size: int) -> bytes:
        """As `Blocks.read_at`."""
        self._check(offset, size)
        start, end = offset // SECTOR * SECTOR, -(-(offset + size) // SECTOR) * SECTOR
        parts: list[bytes] = []
        while start < end:
            count = self._read(start, min(CHUNK, end - start))
            if not count:
                raise OSError(errno.EIO, "the medium ends early")
            parts.append(self._buffer[max(offset - start, 0) : min(count, offset + size - start)])
            start += count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write_at(self, offset: int, data: bytes) -> None:
        """As `Blocks.write_at`."""
        self._check(offset, len(data))
        done = 0
        while done < len(data):
            part = data[done : done + CHUNK]
            self._buffer[: len(part)] = part
            written = 0
            while written < len(part):
                written += self._write(offset + done + written, written, len(part))
            done += len(part)

    def flush(self) -> None:
        """As `Blocks.flush`."""
        os.fsync(self.number)
        if not self._direct:
            os.posix_fadvise(self.number, self._offset, self.size, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Let go of it; does not flush."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1
            self._buffer.close()

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.size:
            raise OSError(errno.ENOSPC, "behind the end of the partition")

    def _read(self, offset: int, size: int) -> int:
        with memoryview(self._buffer) as view, view[:size] as part:
            try:
                return os.preadv(self.number, [part], self._offset + offset)
            except OSError as error:
                if not self._undirected(error):
                    raise
                return os.preadv(self.number, [part], self._offset + offset)

    def _write(self, offset: int, start: int, end: int) -> int:
        with memoryview(self._buffer) as view, view[start:end] as part:
            try:
                return os.pwritev(self.number, [part], self._offset + offset)
            except OSError as error:
                if not self._undirected(error):
                    raise
                return os.pwritev(self.number, [part], self._offset + offset)

    def _undirected(self, error: OSError) -> bool:
        """Go on without O_DIRECT if that is what the medium did not like (blocks larger than what was asked for)."""
        if not self._direct or error.errno != errno.EINVAL:
            return False
        import fcntl

        self._direct = False
        fcntl.fcntl(self.number, fcntl.F_SETFL, fcntl.fcntl(self.number, fcntl.F_GETFL) & ~os.O_DIRECT)
        os.posix_fadvise(self.number, self._offset, self.size, os.POSIX_FADV_DONTNEED)
        return True


class Ahead:
    """Writes one stream to consecutive places in large pieces, in a thread, so that the next piece arrives meanwhile.

    Leave the context to have everything written (not flushed); an error of the medium is raised by the next call.
    """

    def __init__(self, blocks: Blocks, offset: int, *, chunk: int = CHUNK, depth: int = 2) -> None:
        """Begin at `offset`. At most `depth` + 2 pieces of `chunk` bytes are in memory."""
        self._blocks = blocks
        self._offset = offset
        self._chunk = chunk
        self._pending: list[bytes] = []
        self._held = 0
        self._error: OSError | None = None
        self._queue: queue.Queue[tuple[int, bytes] | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._work, name="write-ahead")

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None and self._held:
                data = b"".join(self._pending)
                self._queue.put((self._offset, data + bytes(-len(data) % ALIGNED)))
        finally:
            self._queue.put(None)
            self._thread.join()
        if kind is None:
            self._raise()

    def write(self, piece: bytes) -> None:
        """The next bytes of the stream."""
        self._pending.append(piece)
        self._held += len(piece)
        while self._held >= self._chunk:
            data = b"".join(self._pending)
            rest = data[self._chunk :]
            self._pending = [rest] if rest else []
            self._held = len(rest)
            self._raise()
            self._queue.put((self._offset, data[: self._chunk]))
            self._offset += self._chunk

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._blocks.write_at(*item)
                except OSError as error:
                    self._error = error


def read_ahead(blocks: Blocks, offset: int, end: int, *, chunk: int = CHUNK) -> Iterator[bytes]:
    """The bytes from `offset` to `end` in pieces; each is read in a thread while the one before is used. OSError."""
    from concurrent.futures import Future, ThreadPoolExecutor  # brings logging along, which few who are here need

    places = range(offset, end, chunk)
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        coming: Future[bytes] | None = None
        for place in [*places, None]:
            ready = coming
            coming = None if place is None else reader.submit(blocks.read_at, place, min(chunk, end - place))
            if ready is not None:
                yield ready.result()
