"""Writing a source onto a card, or into a file, and reading it back.

One thread reads and hashes while others write, so that a card always has the next write waiting. A card is written
and read past the kernel's cache (`O_DIRECT`), so that what is told of speed and of errors is the card's own, and what
is read back is what the card holds. So is a file, where its file system can. A card's first block, where every
partition table begins, is blanked first and written last: a card that was pulled or interrupted holds nothing that a
machine would take for a system.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovenbird.deliver.flash.source import Piece, Source, runs
from ovenbird.errors import CardError, HostError, ImageError, UsageError
from ovenbird.image.disk import BLOCK
from ovenbird.interrupts import Pool
from ovenbird.progress import Progress, Step
from ovenbird.units import size_text

CHUNK = 4 << 20
"""Bytes of one write: what cards with large erase blocks take well."""
AHEAD = 3
"""Writes that are under way at once."""
BLKZEROOUT = 0x127F
"""linux/fs.h: the kernel writes the zeros, by a command of the disk's where it has one."""
_EVERY = 0.2
"""Seconds from one word on how far it is to the next."""
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ENOSPC)


@dataclass(frozen=True, slots=True)
class Written:
    """How it went. `written` and `read` (from the image) are in bytes, times in seconds; `check_s` is 0 for what was
    not read back.
    """

    written: int
    read: int
    write_s: float
    check_s: float


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A part of a piece: at most CHUNK bytes, all data or all zeros."""

    piece: Piece
    offset: int
    size: int
    zero: bool


def write_card(source: Source, card: Path, progress: Progress, *, verify: bool = True, force: bool = False) -> Written:
    """Write a whole card and read it back.

    Raises CardError for a card that is too small, fails, is pulled, or reads back wrong; HostError where this user may
    not write it; ImageError for an image that its map does not fit.
    """
    with _opened(card, force=force) as number:
        size = _size(number)
        if size < source.size:
            short = source.size - size
            raise CardError(
                f"{card} is too small: it has {size_text(size)}, the image needs {size_text(source.size)}, "
                f"which is {size_text(short)} ({short} bytes) more"
            )
        with _explained(card, source):
            return _write_and_check(source, number, progress, verify=verify, new_file=False)


def write_file(source: Source, target: Path, progress: Progress, *, verify: bool = True) -> Written:
    """Write a whole card into a new file with holes and read it back; it takes its name when all is in it.

    Raises ImageError, and CardError for a disk that does not hold what was written.
    """
    from ovenbird.files import replacing

    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is no file", hint=f"a card is named without --to: ovenbird flash {target}")
    with replacing(target) as beside, _opened_file(beside) as number:
        os.ftruncate(number, source.size)
        return _write_and_check(source, number, progress, verify=verify, new_file=True)


def _write_and_check(source: Source, number: int, progress: Progress, *, verify: bool, new_file: bool) -> Written:
    begin = time.monotonic()
    with progress.step("writing") as shown:
        if not new_file:
            os.pwrite(number, memoryview(mmap.mmap(-1, BLOCK)), 0)
        digests = _Digests(source)
        read = _write(source, number, digests, _Meter(shown, source.bytes), new_file=new_file)
        os.fsync(number)
    middle = time.monotonic()
    if verify:
        with progress.step("reading back") as shown:
            _check(source, number, digests.found, _Meter(shown, source.bytes), new_file=new_file)
    return Written(source.bytes, read, middle - begin, time.monotonic() - middle if verify else 0.0)


@contextmanager
def _opened_file(file: Path) -> Generator[int]:
    """A file, past the cache where its file system can: tmpfs, for one, has nothing else."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        number = os.open(file, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        number = os.open(file, flags)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def _opened(card: Path, *, force: bool) -> Generator[int]:
    """The card, past the cache, and for us alone: the kernel refuses that for one that is mounted."""
    flags = os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC | (0 if force else os.O_EXCL)
    try:
        number = os.open(card, flags)
    except PermissionError as error:
        raise HostError(f"{card} can be written by root, or by members of the group that it belongs to") from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise CardError(f"{card} is in use", hint="unmount what is on it") from error
        if error.errno in (errno.ENOMEDIUM, errno.ENXIO, errno.ENODEV):
            raise CardError(f"there is no card in {card}", hint="put one in") from error
        if error.errno == errno.EROFS:
            raise CardError(f"{card} is write-protected", hint="look at the small switch at its side") from error
        raise
    try:
        yield number
    finally:
        os.close(number)


def _size(number: int) -> int:
    return os.lseek(number, 0, os.SEEK_END)


@contextmanager
def _explained(card: Path, source: Source) -> Generator[None]:
    """Errors of the card in words."""
    try:
        yield
    except OSError as error:
        if error.errno not in _GONE or error.filename is not None:
            raise
        if not _there(card):
            raise CardError(
                f"the card in {card} is gone: it was pulled, or has lost its contact",
                hint="put it in again and run the same command; until then it holds no whole system",
            ) from error
        raise CardError(
            f"{card} failed ({(error.strerror or str(error)).lower()})",
            hint=f"a card that fails with {size_text(source.bytes)} is not to be trusted with more: take another one",
        ) from error


def _there(card: Path) -> bool:
    """Whether there is still a card with a size."""
    try:
        number = os.open(card, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _size(number) > 0
    except OSError:
        return False
    finally:
        os.close(number)


def _write(source: Source, number: int, digests: _Digests, meter: _Meter, *, new_file: bool) -> int:
    """Write all pieces; returns how many bytes of them were read. A new file is all zeros already; a card's first
    block is left to the end.
    """
    buffers = [mmap.mmap(-1, CHUNK) for _ in range(AHEAD + 1)]
    first = None if new_file else mmap.mmap(-1, BLOCK)
    writing: deque[tuple[Future[None], int]] = deque()
    read = 0
    with _Files() as files, Pool(AHEAD, "writer") as writers:
        try:
            for turn, chunk in enumerate(_chunks(source, files)):
                if len(writing) == AHEAD:
                    _written(writing, meter)
                buffer = buffers[turn % len(buffers)]
                _fill(files, chunk, buffer, digests)
                read += 0 if chunk.zero else chunk.size
                writing.append((writers.submit(_put, number, chunk, buffer, first, new_file=new_file), chunk.size))
            digests.end()
            while writing:
                _written(writing, meter)
        except BaseException:
            writers.shutdown(cancel_futures=True)
            raise
    if first is not None and source.pieces and source.pieces[0].offset == 0:
        os.fsync(number)
        os.pwrite(number, memoryview(first), 0)
    return read


def _written(writing: deque[tuple[Future[None], int]], meter: _Meter) -> None:
    """Wait until the oldest write is done. Raises OSError."""
    done, size = writing.popleft()
    done.result()
    meter.add(size)


def _chunks(source: Source, files: _Files) -> Iterable[_Chunk]:
    for piece in source.pieces:
        number = files.number(piece.file)
        for begin, end, data in runs(number, piece.at, piece.at + piece.size):
            for place in range(begin, end, CHUNK):
                size = min(CHUNK, end - place)
                yield _Chunk(piece, piece.offset + place - piece.at, size, not data)


def _fill(files: _Files, chunk: _Chunk, buffer: mmap.mmap, digests: _Digests) -> None:
    """Get a chunk's bytes into a buffer, and hash them."""
    view = memoryview(buffer)[: chunk.size]
    if chunk.zero:
        view[:] = bytes(chunk.size)
    else:
        _read_into(files.number(chunk.piece.file), view, chunk.piece.at + chunk.offset - chunk.piece.offset)
    digests.add(chunk.piece, view)


def _read_into(number: int, view: memoryview, place: int) -> memoryview:
    """Fill a buffer from a place on; returns it."""
    rest = view
    while rest:
        got = os.preadv(number, [rest], place)
        if not got:
            raise OSError(errno.EIO, "it ended too early")
        rest, place = rest[got:], place + got
    return view


def _put(number: int, chunk: _Chunk, buffer: mmap.mmap, first: mmap.mmap | None, *, new_file: bool) -> None:
    """Write a chunk; its first block is kept back in `first` if it is the card's first one."""
    begin = 0
    if chunk.offset == 0 and first is not None:
        first[:] = buffer[:BLOCK]
        begin = BLOCK
    if chunk.zero:
        if not new_file and chunk.size > begin:
            _zero(number, chunk.offset + begin, chunk.size - begin, memoryview(buffer)[begin : chunk.size])
        return
    _put_all(number, memoryview(buffer)[begin : chunk.size], chunk.offset + begin)


def _put_all(number: int, view: memoryview, place: int) -> None:
    while view:
        done = os.pwritev(number, [view], place)
        view, place = view[done:], place + done


def _zero(number: int, offset: int, size: int, zeros: memoryview) -> None:
    """Let the kernel write zeros; what cannot gets them as all else."""
    try:
        fcntl.ioctl(number, BLKZEROOUT, struct.pack("=QQ", offset, size))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _put_all(number, zeros, offset)


def _check(source: Source, number: int, digests: Mapping[Piece, str], meter: _Meter, *, new_file: bool) -> None:
    """Read everything back and compare. Raises CardError that says where the first wrong byte is."""
    buffers = (mmap.mmap(-1, CHUNK), mmap.mmap(-1, CHUNK))
    steps = [(piece, place) for piece in source.pieces for place in range(piece.offset, piece.end, CHUNK)]
    with Pool(1, "reader") as reader:
        digest = hashlib.sha256()

        def ahead(turn: int) -> Future[memoryview]:
            piece, place = steps[turn]
            view = memoryview(buffers[turn % 2])[: min(CHUNK, piece.end - place)]
            return reader.submit(_read_into, number, view, place)

        coming = ahead(0) if steps else None
        for turn, (piece, place) in enumerate(steps):
            assert coming is not None
            view = coming.result()
            coming = ahead(turn + 1) if turn + 1 < len(steps) else None
            digest.update(view)
            if place + len(view) == piece.end:
                if digest.hexdigest() != digests[piece]:
                    raise _wrong(source, piece, number, new_file=new_file)
                digest = hashlib.sha256()
            meter.add(len(view))


def _wrong(source: Source, piece: Piece, number: int, *, new_file: bool) -> CardError:
    """The error for a piece that reads back wrong, with the first byte that differs."""
    buffer, place = mmap.mmap(-1, BLOCK), piece.offset
    with piece.file.open("rb") as file:
        for place in range(piece.offset, piece.end, BLOCK):
            _read_into(number, memoryview(buffer), place)
            expected = os.pread(file.fileno(), BLOCK, piece.at + place - piece.offset).ljust(BLOCK, b"\0")
            if buffer[:] != expected:
                place += next(at for at in range(BLOCK) if buffer[at] != expected[at])
                break
    what, hint = (
        ("file", "the disk that it lies on is damaged")
        if new_file
        else ("card", "it is worn, damaged, or smaller than it says (counterfeit): take another one")
    )
    return CardError(
        f"the {what} reads back wrong at {source.where(place)}: it does not hold what was written", hint=hint
    )


class _Digests:
    """The sha256 of each piece as it was read, held against the image's map."""

    def __init__(self, source: Source) -> None:
        self.found: dict[Piece, str] = {}
        self._source = source
        self._piece: Piece | None = None
        self._digest = hashlib.sha256()

    def add(self, piece: Piece, data: memoryview) -> None:
        """The next bytes; raises ImageError when a piece before them was wrong."""
        if piece is not self._piece:
            self.end()
            self._piece, self._digest = piece, hashlib.sha256()
        self._digest.update(data)

    def end(self) -> None:
        """A piece is complete. Raises ImageError."""
        piece = self._piece
        if piece is None:
            return
        self.found[piece] = self._digest.hexdigest()
        if piece.sha256 not in (None, self.found[piece]):
            raise ImageError(
                f"the image is damaged at {self._source.where(piece.offset)}: it is not what its map says",
                where=str(piece.file),
                hint="build or fetch it again",
            )


class _Meter:
    """Tells how far it is, how fast, and how long it will take."""

    def __init__(self, shown: Step, total: int) -> None:
        self._shown, self._total, self._done = shown, total, 0
        self._begin = self._told = time.monotonic()

    def add(self, size: int) -> None:
        """So many bytes more are done."""
        self._done += size
        now = time.monotonic()
        if now - self._told < _EVERY and self._done < self._total:
            return
        self._told, passed = now, now - self._begin
        speed = self._done / passed if passed > 0 else 0.0
        left = (self._total - self._done) / speed if speed else 0.0
        percent = self._done * 100 // self._total if self._total else 100
        self._shown.line(f"{percent} % of {size_text(self._total)}, {size_text(speed)}/s, {left:.0f} s left")


class _Files:
    """The files of the pieces, each opened once."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def number(self, file: Path) -> int:
        """Its number."""
        if file not in self._open:
            self._open[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[file]

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._open.values():
            os.close(number)
