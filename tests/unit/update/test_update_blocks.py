"""The layer under the installer, on real files: with and without O_DIRECT, ends, holes, and writing ahead."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovenbird_device.update.blocks import ALIGNED, CHUNK, Ahead, Medium
from ovenbird_device.update.feed import Feed
from ovenbird_device.update.snapshot import Reason, UpdateError

MIB = 1 << 20


@pytest.fixture(params=["disk", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file of 4 MiB of noise on a disk, or in memory (where O_DIRECT may not be had)."""
    folder = tmp_path if request.param == "disk" else Path("/dev/shm")
    file = folder / f"blocks-{os.getpid()}"
    file.write_bytes(random.Random(1).randbytes(4 * MIB))
    yield file
    file.unlink()


def test_reads_and_writes_are_exact(path: Path) -> None:
    dice = random.Random(2)
    model = bytearray(path.read_bytes()[MIB : 3 * MIB])
    with Medium(path, MIB, 2 * MIB, writable=True) as medium:
        for _ in range(60):
            place, size = dice.randrange(0, 2 * MIB, 512), dice.choice([512, 4096, 70 * 512, MIB + 512])
            size = min(size, 2 * MIB - place)
            data = dice.randbytes(size)
            medium.write_at(place, data)
            model[place : place + size] = data
            medium.flush()
            at, count = dice.randrange(2 * MIB), dice.randrange(1, MIB)
            count = min(count, 2 * MIB - at)
            assert medium.read_at(at, count) == model[at : at + count]
        assert medium.read_at(0, 2 * MIB) == model
    raw = path.read_bytes()
    assert raw[MIB : 3 * MIB] == model
    assert (raw[:MIB], raw[3 * MIB :]) == (random.Random(1).randbytes(4 * MIB)[:MIB], raw[3 * MIB :])


def test_the_end_is_the_end(path: Path) -> None:
    with Medium(path, MIB, MIB, writable=True) as medium:
        for offset, size in ((MIB, 512), (MIB - 512, 1024), (-512, 512)):
            with pytest.raises(OSError, match="end of the partition") as caught:
                medium.write_at(offset, bytes(size))
            assert caught.value.errno == errno.ENOSPC
            with pytest.raises(OSError, match="end of the partition"):
                medium.read_at(offset, size)


def test_a_file_that_is_shorter_than_said(path: Path) -> None:
    with Medium(path, MIB, 9 * MIB) as medium, pytest.raises(OSError, match="ends early"):
        medium.read_at(2 * MIB, 4 * MIB)


@pytest.mark.parametrize("size", [0, 1, ALIGNED, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5000])
def test_writing_ahead(path: Path, size: int) -> None:
    dice = random.Random(size)
    data = dice.randbytes(size)
    with Medium(path, 0, 4 * MIB, writable=True) as medium:
        with Ahead(medium, ALIGNED) as ahead:
            place = 0
            while place < size:
                step = dice.randrange(1, 300_000)
                ahead.write(data[place : place + step])
                place += step
        assert medium.read_at(ALIGNED, size) == data if size else True
        padded = medium.read_at(ALIGNED + size, -size % ALIGNED)
        assert padded.strip(b"\0") == b""


def write_zeros(medium: Medium, count: int, *, fail: bool = False) -> None:
    with Ahead(medium, 0, chunk=65536) as ahead:
        for _ in range(count):
            ahead.write(bytes(65536))
        if fail:
            raise KeyError


def test_an_error_of_the_medium_is_told(path: Path) -> None:
    with Medium(path, 0, MIB, writable=True) as medium, pytest.raises(OSError, match="end of the partition"):
        write_zeros(medium, 100)


def test_an_error_of_the_source_wins_and_nothing_hangs(path: Path) -> None:
    with Medium(path, 0, MIB, writable=True) as medium, pytest.raises(KeyError):
        write_zeros(medium, 3, fail=True)


def test_a_feed_that_stalls_or_is_cut_for_too_long() -> None:
    reading, writing = os.pipe()
    feed = Feed(reading, 100, patience=0.3)
    os.write(writing, b"x" * 10)
    assert feed.read(1000) == b"x" * 10
    with pytest.raises(UpdateError, match="Nothing more came after byte 10") as caught:
        feed.read(1000)
    assert caught.value.reason is Reason.INTERRUPTED
    os.close(writing)
    with pytest.raises(UpdateError, match="broke off at byte 10"):
        feed.read(1000)
    feed.close()
    feed.abort("too late for anything")


def test_a_feed_of_unknown_size_ends_with_its_pipe() -> None:
    reading, writing = os.pipe()
    feed = Feed(reading, None)
    os.write(writing, b"abc")
    os.close(writing)
    assert feed.read(2) + feed.read(2) + feed.read(2) == b"abc"
    feed.close()


def test_a_feed_gives_no_more_than_was_announced() -> None:
    reading, writing = os.pipe()
    feed = Feed(reading, 2)
    os.write(writing, b"abc")
    assert feed.read(10) + feed.read(10) == b"ab"
    os.close(writing)
    feed.close()
