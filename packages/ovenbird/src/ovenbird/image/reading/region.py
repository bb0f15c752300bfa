"""A part of a file, and what it holds: a partition, or a whole file, told by its first bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ovenbird.errors import ImageError, UsageError
from ovenbird_device.format import mbr

CHUNK = 1 << 20
_LOOKED_AT = 1 << 16  # What is zero for as long as this is taken for empty.


class Content(StrEnum):
    """What a region holds."""

    DISK = "disk"
    SQUASHFS = "squashfs"
    FAT = "FAT"
    EXT = "ext4"
    INITRD = "initrd"
    KERNEL = "kernel"
    EMPTY = "empty"
    UNKNOWN = "raw"


@dataclass(frozen=True, slots=True)
class Region:
    """`size` bytes from `offset` on, in the file at `path`."""

    path: Path
    offset: int
    size: int

    @classmethod
    def whole(cls, path: Path) -> Region:
        """A whole file (or block device). UsageError if there is none, or it is none of these."""
        if not path.exists():
            raise UsageError("there is no such file", where=str(path))
        if path.is_dir():
            raise UsageError("is a folder, not an image", where=str(path))
        with path.open("rb") as file:
            if not file.seekable():
                raise UsageError("is a pipe or a terminal; an image must be a file", where=str(path))
            return cls(path, 0, file.seek(0, 2))

    def read(self, at: int, size: int) -> bytes:
        """Up to `size` bytes from `at` (from the start of the region) on; fewer at the region's end."""
        with self.path.open("rb") as file:
            file.seek(self.offset + at)
            return file.read(max(0, min(size, self.size - at)))

    def part(self, at: int, size: int) -> Region:
        """A region inside of this one. ImageError if it reaches over the end."""
        if at < 0 or size < 0 or at + size > self.size:
            raise ImageError(
                f"the file is cut off: {at + size} bytes are needed, there are {self.size}", where=str(self.path)
            )
        return Region(self.path, self.offset + at, size)

    def sha256(self) -> str:
        """The hash of all bytes, in hexadecimal digits."""
        digest = hashlib.sha256()
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left:
                data = file.read(min(CHUNK, left))
                if not data:
                    raise ImageError(f"the file is cut off: {left} bytes are missing", where=str(self.path))
                digest.update(data)
                left -= len(data)
        return digest.hexdigest()


def recognise(region: Region) -> Content:
    """What a region holds. Raises nothing for content: what is not known is `UNKNOWN`."""
    head = region.read(0, _LOOKED_AT)
    fat = head[0:1] in (b"\xeb", b"\xe9") and (head[54:57] == b"FAT" or head[82:85] == b"FAT")
    tests: tuple[tuple[bool, Content], ...] = (
        (head[:4] == b"hsqs", Content.SQUASHFS),
        (head[512:520] == b"EFI PART" or (head[510:512] == b"\x55\xaa" and head[450:451] == b"\xee"), Content.DISK),
        (head[510:512] == b"\x55\xaa" and fat, Content.FAT),
        (mbr.is_mbr(head[:512]), Content.DISK),
        (head[1080:1082] == b"\x53\xef", Content.EXT),
        (head[:6] in (b"070701", b"070702"), Content.INITRD),
        (head[:2] == b"\x1f\x8b" or head[:4] == b"\x28\xb5\x2f\xfd" or head[:6] == b"\xfd7zXZ\0", Content.INITRD),
        (head[0x202:0x206] == b"HdrS" or head[56:60] == b"ARM\x64", Content.KERNEL),
        (bool(head) and not head.strip(b"\0"), Content.EMPTY),
    )
    return next((content for matches, content in tests if matches), Content.UNKNOWN)


def foreign(region: Region) -> ImageError:
    """The error for a file that is none of what Ovenbird writes, with what is known of it."""
    head = region.read(0, 8)
    where = str(region.path)
    if not region.size:
        return ImageError("the file is empty", where=where)
    if head.startswith(b"QFI\xfb"):
        hint = f"qemu-img convert -O raw {region.path} disk.img"
        return ImageError("this is a qcow2 image; only raw ones are read", where=where, hint=hint)
    return ImageError(
        "this is none of the images that Ovenbird makes (a disk, a squashfs root, a FAT boot partition, an initrd)",
        where=where,
    )


def printable(name: str) -> str:
    """A file name for people and for JSON: what cannot be printed becomes an escape."""
    return "".join(one if one.isprintable() and one != "\\" else _escape(one) for one in name)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is not UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
