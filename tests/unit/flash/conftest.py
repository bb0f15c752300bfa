"""Cards for the tests: real block devices where this machine lets us make them, and one small image for all."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from tests.disks import make_disk

from ovenbird.deliver.flash import source
from ovenbird.image.layout import MIB

LOOP_SET_CAPACITY = 0x4C07
NOISE = random.Random("what was on it before").randbytes(MIB)


@dataclass
class Card:
    """A block device that is a file behind the scenes."""

    path: Path
    backing: Path

    def resize(self, size: int) -> None:
        """Let it be another size from now on; 0 is a reader whose card was pulled."""
        os.truncate(self.backing, size)
        if self.path != self.backing:
            with self.path.open("rb") as device:
                fcntl.ioctl(device, LOOP_SET_CAPACITY)


@contextmanager
def loop(backing: Path) -> Generator[Card]:
    """A loop device over a file. Raises CalledProcessError where this machine has none for us."""
    words = ["losetup", "--find", "--show", str(backing)]
    path = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield Card(Path(path), backing)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


@contextmanager
def plain(backing: Path) -> Generator[Card]:
    """The file itself: it is written and read past the cache as a card is, and has a size."""
    yield Card(backing, backing)


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], AbstractContextManager[Card]]:
    """What makes cards here: loop devices where this user may make them, else files."""
    probe = tmp_path_factory.mktemp("probe") / "probe"
    probe.write_bytes(bytes(MIB))
    with suppress(subprocess.CalledProcessError, FileNotFoundError), loop(probe):
        return loop
    return plain


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk image as a build makes it, with its map: 64 MiB of data, and a root that is noise."""
    return make_disk(tmp_path_factory.mktemp("image"), root=5 * MIB)


@pytest.fixture
def whole(image: Path) -> source.Source:
    """All of it."""
    return source.whole(image)


@pytest.fixture
def card(
    tmp_path: Path, image: Path, device: Callable[[Path], AbstractContextManager[Card]]
) -> Iterator[Callable[[int], Card]]:
    """Makes cards that are this much larger than the image (bytes), full of what was on them before."""
    numbers = count()
    with ExitStack() as stack:

        def make(more: int = 0) -> Card:
            backing = tmp_path / f"card-{next(numbers)}"
            size = image.stat().st_size + more
            backing.write_bytes(NOISE * (size // MIB + 1))
            os.truncate(backing, size)
            return stack.enter_context(device(backing))

        yield make
