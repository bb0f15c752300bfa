"""A small part of tar, read strictly: files, folders and symbolic links in POSIX headers (ustar), and nothing else.

What comes over the network is read by root with this, so whatever is not needed to carry a program is not understood:
no hard links, devices or sparse files, none of the extensions for long names (a path has at most 255 bytes). Format:
POSIX.1-2017, "ustar Interchange Format" of the utility pax. Written by Python's `tarfile` with `USTAR_FORMAT`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ovenbird_device.format import FormatError

BLOCK: Final = 512
_KINDS: Final[dict[bytes, Literal["file", "folder", "link"]]] = {
    b"0": "file",
    b"\0": "file",
    b"5": "folder",
    b"2": "link",
}


class Entry(msgspec.Struct, frozen=True):
    """One thing in an archive. `name` is relative, without empty, `.` and `..` parts; `size` of a file's content."""

    name: str
    kind: Literal["file", "folder", "link"]
    size: int = 0
    executable: bool = False
    target: str = ""


def header(block: bytes) -> Entry | None:
    """The entry that a block of 512 bytes begins; None for the block that ends an archive. Raises FormatError."""
    if len(block) != BLOCK:
        raise FormatError("the archive is cut off")
    if not block.strip(b"\0"):
        return None
    if block[257:263] != b"ustar\0":
        raise FormatError("that is no archive of this kind (ustar)")
    if _octal(block[148:156]) != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise FormatError("a header of the archive is damaged")
    kind = _KINDS.get(block[156:157])
    first, prefix = _text(block[0:100]), _text(block[345:500])
    name = f"{prefix}/{first}" if prefix else first
    if kind is None:
        raise FormatError(f"{name!r} is neither a file, a folder nor a symbolic link")
    if kind == "folder":
        name = name.removesuffix("/")
    if not is_plain(name):
        raise FormatError(f"{name!r} is no path inside of a folder")
    size = _octal(block[124:136])
    if size and kind != "file":
        raise FormatError(f"{name!r} has content, and is no file")
    target = _text(block[157:257]) if kind == "link" else ""
    return Entry(name, kind, size, bool(_octal(block[100:108]) & 0o100), target)


def padding(size: int) -> int:
    """How many bytes follow a content of this size, up to the next header."""
    return -size % BLOCK


def is_plain(path: str) -> bool:
    """Whether a path leads from a folder into it, by names alone."""
    return path.isprintable() and all(part not in ("", ".", "..") for part in path.split("/"))


def stays_inside(name: str, target: str) -> bool:
    """Whether a link of this name, pointing at `target`, stays in the folder that all names are relative to.

    Its steps upwards come first and lead no higher than that folder; below them it may follow other links, which stay
    inside as well. A way up behind a name could be one up from where that name leads, so there is none.
    """
    parts = target.split("/")
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if up > name.count("/"):
        return False
    return up == len(parts) or is_plain("/".join(parts[up:]))


def _text(field: bytes) -> str:
    try:
        return field.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise FormatError("a name in the archive is no text") from error


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise FormatError("a number in the archive is none")
    return int(digits, 8)
