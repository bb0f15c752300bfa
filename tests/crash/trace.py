"""Records every write and flush that the device's own code makes, and replays any part of them.

The model of a medium: what was written through a partition's device before that device was flushed is there for good.
Of what was written since, any part may have landed, in any order, each write whole or in pieces. A flush of one
partition is taken to say nothing about the others, which is harsher than real disks are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ovenbird_device.slots.disk import Disk, Place
from ovenbird_device.update.blocks import Blocks

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    """`data` at `offset` of the disk, through the device called `through`."""

    through: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """All that was written through that device has landed."""

    through: str


Step = Write | Flush


@dataclass
class Trace:
    """What happened to a disk, in order, and where each phase of it begins."""

    steps: list[Step] = field(default_factory=list[Step])
    phases: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def phase(self, name: str) -> None:
        """What comes now is called so."""
        self.phases.append((len(self.steps), name))

    def phase_of(self, count: int) -> str:
        """The phase that the disk is in after so many steps."""
        return [name for start, name in self.phases if start <= count][-1]

    def over(self, disk: Disk) -> Disk:
        """The same disk, with everything that is written to it recorded."""
        places = {name: _Recorded(one.path, one.offset, one.size, name, self) for name, one in disk.places.items()}
        return Disk(places, disk.running, disk.running_hash, disk.trial)


class _Recorded(Place, frozen=True):
    name: str
    trace: Trace

    def open(self, *, writable: bool = False, alone: bool = False) -> Blocks:
        return _Recorder(Place.open(self, writable=writable, alone=alone), self)


class _Recorder:
    def __init__(self, inner: Blocks, place: _Recorded) -> None:
        self._inner = inner
        self._place = place

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.__exit__()

    @property
    def size(self) -> int:
        return self._inner.size

    def read_at(self, offset: int, size: int) -> bytes:
        return self._inner.read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> None:
        self._place.trace.steps.append(Write(self._place.name, self._place.offset + offset, bytes(data)))
        self._inner.write_at(offset, data)

    def flush(self) -> None:
        self._place.trace.steps.append(Flush(self._place.name))
        self._inner.flush()


Landed = Mapping[int, tuple[tuple[int, int], ...] | None]
"""For each write (its number in the trace) that landed: None for whole, or the (start, end) of the bytes that did."""


class Medium:
    """A disk while a trace is replayed: what is there for good after some steps, and what may be lost."""

    def __init__(self, base: bytes, steps: list[Step]) -> None:
        """Before the first step."""
        self.steps = steps
        self.data = bytearray(base)
        self.loose: list[int] = []
        self._done = 0
        self._settled: list[tuple[int, int]] = []
        self._stamps: dict[tuple[int, int], int] = {}

    def advance(self, count: int) -> None:
        """Go on until the first `count` steps are done; there is no way back."""
        for number in range(self._done, count):
            step = self.steps[number]
            if isinstance(step, Write):
                self.loose.append(number)
                continue
            for one in [one for one in self.loose if self.write(one).through == step.through]:
                write = self.write(one)
                self.data[write.offset : write.offset + len(write.data)] = write.data
                self._settled.append((write.offset, len(write.data)))
                self.loose.remove(one)
                self._stamps.clear()
        self._done = max(count, self._done)

    @property
    def settled(self) -> int:
        """How many writes are there for good."""
        return len(self._settled)

    def write(self, number: int) -> Write:
        """A step that is a write."""
        step = self.steps[number]
        assert isinstance(step, Write)
        return step

    def stamp(self, offset: int, size: int) -> int:
        """Changes whenever something lands for good in this place."""
        key = (offset, size)
        if key not in self._stamps:
            self._stamps[key] = sum(_meet(offset, size, *one) for one in self._settled)
        return self._stamps[key]


class Crashed:
    """The disk as the power cut left it: what was there for good, and what landed of the rest."""

    def __init__(self, medium: Medium, landed: Landed) -> None:
        """Good until the medium advances."""
        self._medium = medium
        self._pieces: list[tuple[int, bytes]] = []
        self._whole: list[tuple[int, int, object]] = []
        for number, part in sorted(landed.items()):
            write = medium.write(number)
            self._whole.append((write.offset, len(write.data), (number, part)))
            for start, end in ((0, len(write.data)),) if part is None else part:
                self._pieces.append((write.offset + start, write.data[start:end]))

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the disk."""
        found = self._medium.data[offset : offset + size]
        end = offset + size
        for at, data in self._pieces:
            if at < end and at + len(data) > offset:
                first, last = max(at, offset), min(at + len(data), end)
                found[first - offset : last - offset] = data[first - at : last - at]
        return bytes(found)

    def key(self, offset: int, size: int) -> tuple[object, ...]:
        """Equal for disks of one trace that are equal in this place."""
        loose = [what for at, length, what in self._whole if _meet(offset, size, at, length)]
        return (self._medium.stamp(offset, size), *loose)

    def save(self, path: Path, size: int) -> None:
        """Write the whole disk into a sparse file."""
        with path.open("wb") as file:
            file.truncate(size)
            block = 1 << 20
            for at in range(0, len(self._medium.data), block):
                part = self.read(at, block)
                if part.strip(b"\0"):
                    os.pwrite(file.fileno(), part, at)


def _meet(offset: int, size: int, other: int, length: int) -> bool:
    return other < offset + size and other + length > offset
