"""What has to be written: pieces of files, each with its place on the card; all else is left as it is.

The block map beside an image says which blocks matter; an image without one is written where its file has no holes.
Zeros that matter are holes in the file of a fresh image: they are not read, only written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ovenbird.errors import ImageError
from ovenbird.files import data_ranges
from ovenbird.image.bmap import read_bmap
from ovenbird.image.disk import BLOCK
from ovenbird.image.reading.disk import open_image


@dataclass(frozen=True, slots=True)
class Piece:
    """`size` bytes from `at` on in `file`, for `offset` on the card; all in bytes and whole blocks.

    `sha256` is what the map says of it, None where there is no map.
    """

    file: Path
    at: int
    offset: int
    size: int
    sha256: str | None = None

    @property
    def end(self) -> int:
        """The first byte on the card behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Source:
    """A whole card: its size in bytes and its pieces, in order and apart from each other."""

    image: Path
    size: int
    pieces: tuple[Piece, ...]
    map: Path | None = None
    names: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """The partitions' places and sizes by their names, to tell people where something is."""

    @property
    def bytes(self) -> int:
        """How many bytes have to be written."""
        return sum(piece.size for piece in self.pieces)

    def where(self, offset: int) -> str:
        """A place on the card in words."""
        for name, (begin, size) in self.names.items():
            if begin <= offset < begin + size:
                return f"byte {offset} (in {name})"
        return f"byte {offset}"

    def instead(self, begin: int, size: int, pieces: Iterable[Piece]) -> Source:
        """The same card with other content in the area of `size` bytes from `begin` on.

        A piece of the map that reaches over an end of the area loses its checksum with what it loses.
        """
        rest: list[Piece] = []
        for piece in self.pieces:
            if piece.end <= begin or piece.offset >= begin + size:
                rest.append(piece)
                continue
            if piece.offset < begin:
                rest.append(replace(piece, size=begin - piece.offset, sha256=None))
            if piece.end > begin + size:
                skipped = begin + size - piece.offset
                rest.append(Piece(piece.file, piece.at + skipped, piece.offset + skipped, piece.size - skipped))
        return replace(self, pieces=tuple(sorted((*rest, *pieces), key=lambda one: one.offset)))


def partitions(image: Path) -> dict[str, tuple[int, int]]:
    """Where the partitions of a disk image begin and how long they are, in bytes, by name.

    Raises ImageError for what is no disk image.
    """
    opened = open_image(image)
    if opened.kind is None:
        raise ImageError(f"this is a {opened.content} image, not one of a whole disk", where=str(image))
    return {one.name: (one.offset, one.size) for one in opened.partitions}


def whole(image: Path) -> Source:
    """An image with what its map says, if there is one beside it: `disk.bmap` for `disk.img`.

    Raises ImageError for a map that is damaged or another image's, and for a size that is no whole number of blocks.
    """
    size = image.stat().st_size
    if size % BLOCK:
        raise ImageError(f"the image has {size} bytes, which are no whole blocks of {BLOCK}", where=str(image))
    names = partitions(image)
    beside = image.with_suffix(".bmap")
    if beside.is_file():
        known = read_bmap(beside)
        if known.size != size:
            raise ImageError(
                f"the map is for an image of {known.size} bytes, but {image.name} has {size}", where=str(beside)
            )
        pieces = tuple(
            Piece(image, first * BLOCK, first * BLOCK, (last - first + 1) * BLOCK, digest)
            for first, last, digest in known.ranges
        )
        return Source(image, size, pieces, beside, names)
    return Source(image, size, tuple(_without_holes(image)), None, names)


def _without_holes(image: Path) -> Iterable[Piece]:
    """The parts of a file that are no holes, in whole blocks."""
    with image.open("rb") as file:
        place = 0
        for begin, end in data_ranges(file.fileno()):
            first = max(place, begin // BLOCK * BLOCK)
            place = -(-end // BLOCK) * BLOCK
            if place > first:
                yield Piece(image, first, first, place - first)


def runs(number: int, begin: int, end: int) -> Iterable[tuple[int, int, bool]]:
    """The range of an open file as (begin, end, whether it is data), in order and in whole blocks; what is no data is
    zeros.
    """
    place = begin
    while place < end:
        try:
            first = min(os.lseek(number, place, os.SEEK_DATA) // BLOCK * BLOCK, end)
        except OSError:
            first = end  # ENXIO: only a hole is left.
        if first > place:
            yield place, first, False
        place = first
        if place < end:
            hole = os.lseek(number, max(place, os.lseek(number, place, os.SEEK_DATA)), os.SEEK_HOLE)
            last = min(-(-hole // BLOCK) * BLOCK, end)
            yield place, last, True
            place = last
