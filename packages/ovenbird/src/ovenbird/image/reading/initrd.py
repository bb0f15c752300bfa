"""Initrds: a cpio archive, plain or packed, read as a stream."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO

import msgspec

from ovenbird.errors import ImageError
from ovenbird.image.reading.programs import reading
from ovenbird.image.reading.region import Region, printable
from ovenbird_device.format import FormatError, cpio

_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\0"
_ZSTD = b"\x28\xb5\x2f\xfd"


class InitrdInfo(msgspec.Struct, frozen=True):
    """What is in an initrd; sizes in bytes, `kernel` is the version that its modules are for."""

    size: int
    unpacked: int
    compression: str
    entries: int
    kernel: str
    modules: tuple[str, ...]


def compression(region: Region) -> str:
    """How the archive is packed."""
    head = region.read(0, 6)
    kinds = {_GZIP: "gzip", _XZ: "xz", _ZSTD: "zstd"}
    return next((name for magic, name in kinds.items() if head.startswith(magic)), "none")


class _Slice:
    """The bytes of a region as a stream."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._at = 0

    def read(self, size: int, /) -> bytes:
        data = self._region.read(self._at, size)
        self._at += len(data)
        return data


@contextmanager
def _stream(region: Region) -> Generator[cpio.Readable | IO[bytes]]:
    kind = compression(region)
    where = str(region.path)
    if kind == "none":
        yield _Slice(region)
    elif region.offset:
        raise ImageError("a packed initrd is only read from a file of its own", where=where)
    elif kind == "zstd":
        with reading(["zstd", "-dcq", region.path], where=where, what="the initrd") as stream:
            yield stream
    else:
        opener = gzip.open if kind == "gzip" else lzma.open
        with opener(region.path, "rb") as stream:
            yield stream


def members(region: Region) -> Iterator[cpio.Member]:
    """The members of the archive, in order; the data of each is to be read before the next. ImageError if it is
    damaged.
    """
    try:
        with _stream(region) as stream:
            yield from cpio.read(stream)
    except (FormatError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ImageError(f"the initrd is damaged: {error}", where=str(region.path)) from error


def look(region: Region) -> InitrdInfo:
    """What is in an initrd. ImageError if it is damaged."""
    unpacked = entries = 0
    kernel = ""
    modules: list[str] = []
    for member in members(region):
        entries += 1
        unpacked += member.entry.size
        parts = member.entry.name.removeprefix("./").removeprefix("usr/").split("/")
        if parts[:2] == ["lib", "modules"] and len(parts) > 3:
            kernel = printable(parts[2])
            name, dot, _ = parts[-1].partition(".ko")
            if dot:
                modules.append(printable(name))
    return InitrdInfo(region.size, unpacked, compression(region), entries, kernel, tuple(sorted(modules)))
