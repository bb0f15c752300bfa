"""cpio archives of the "newc" kind: what the kernel unpacks as an initrd, and what a `.swu` bundle is.

Format: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`. A header of 110 ASCII characters (a magic
of six and thirteen fields of eight hexadecimal digits), the name with a NUL, the data; name and data each padded to
four bytes. Magic 070702 ("crc") carries the plain sum of the data bytes modulo 2**32; 070701 carries none.

The writer is deterministic: inode numbers count up, times are given. The reader streams in constant memory and trusts
nothing: it is the first thing that a stranger's bundle meets.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import msgspec

from ovenbird_device.format import FormatError

HEADER = 110
MAX_SIZE = 0xFFFFFFFF
CHUNK = 1 << 18
TRAILER = "TRAILER!!!"
_MAGIC = b"070701"
_MAGIC_SUM = b"070702"
_FIELDS = 13


class Readable(Protocol):
    """What the reader needs of a stream: up to `size` bytes, and none only at its end."""

    def read(self, size: int, /) -> bytes:
        """Read."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """The header of one member. `size` in bytes, `mtime` in seconds since 1970; `check` is None without a sum."""

    name: str
    mode: int
    size: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    links: int = 1
    device: tuple[int, int] = (0, 0)
    check: int | None = None


class Writer:
    """Writes an archive to a binary stream. Close it (or leave its context) to write the trailer."""

    def __init__(self, out: BinaryIO, *, mtime: int = 0, padding: int = 512) -> None:
        """All members get `mtime`; the archive's length is padded to a multiple of `padding` bytes."""
        self._out = out
        self._mtime = mtime
        self._padding = padding
        self._inode = 0
        self._written = 0
        self._closed = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()

    def directory(self, name: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> None:
        """Add a directory; `mode` is its permissions."""
        self._add(name, stat.S_IFDIR | mode, b"", uid=uid, gid=gid, links=2)

    def file(self, name: str, data: bytes, mode: int = 0o644, *, uid: int = 0, gid: int = 0) -> None:
        """Add a regular file."""
        self._add(name, stat.S_IFREG | mode, data, uid=uid, gid=gid)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link to `target`."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name: str, mode: int, device: tuple[int, int]) -> None:
        """Add a device node; `mode` with its type (`stat.S_IFCHR | 0o600`), `device` is (major, minor)."""
        self._add(name, mode, b"", device=device)

    def stream(self, name: str, source: Readable, size: int, *, mode: int = 0o644, check: int | None = None) -> None:
        """Add a regular file of exactly `size` bytes from a stream; with `check`, the sum of its bytes, as "crc"."""
        self._header(name, stat.S_IFREG | mode, size, check=check)
        left = size
        while left:
            data = source.read(min(CHUNK, left))
            if not data:
                raise FormatError(f"{name} ends {left} bytes early")
            self._write(data)
            left -= len(data)
        self._pad(4)

    def close(self) -> None:
        """Write the trailer and the padding. The stream stays open."""
        if self._closed:
            return
        self._inode = -1
        self._header(TRAILER, 0, 0)
        self._pad(self._padding)
        self._closed = True

    def _add(
        self,
        name: str,
        mode: int,
        data: bytes,
        *,
        uid: int = 0,
        gid: int = 0,
        links: int = 1,
        device: tuple[int, int] = (0, 0),
    ) -> None:
        self._header(name, mode, len(data), uid=uid, gid=gid, links=links, device=device)
        self._write(data)
        self._pad(4)

    def _header(
        self,
        name: str,
        mode: int,
        size: int,
        *,
        uid: int = 0,
        gid: int = 0,
        links: int = 1,
        device: tuple[int, int] = (0, 0),
        check: int | None = None,
    ) -> None:
        if self._closed:
            raise FormatError("the archive is closed")
        raw = name.encode() + b"\0"
        if not name or b"\0" in raw[:-1] or size > MAX_SIZE:
            raise FormatError(f"{name!r} cannot be a member of a cpio archive")
        self._inode += 1
        mtime = 0 if name == TRAILER else self._mtime
        fields = (self._inode, mode, uid, gid, links, mtime, size, 0, 0, *device, len(raw), check or 0)
        if any(not 0 <= field <= MAX_SIZE for field in fields):
            raise FormatError(f"a number of {name!r} does not fit into a cpio header")
        magic = _MAGIC if check is None else _MAGIC_SUM
        self._write(magic + b"".join(b"%08X" % field for field in fields) + raw)
        self._pad(4)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)

    def _pad(self, to: int) -> None:
        self._write(bytes(-self._written % to))


class Member:
    """One member of an archive that is being read; its data can be read once, before the next member is asked for."""

    def __init__(self, entry: Entry, stream: _Counted) -> None:
        self.entry = entry
        self._stream = stream
        self._left = entry.size
        self._sum = 0

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes; none at the end. FormatError if the archive is cut off or the sum is wrong."""
        if not self._left or size == 0:
            return b""
        data = self._stream.some(min(size, self._left) if size > 0 else self._left)
        if not data:
            raise FormatError(f"the archive ends inside of {self.entry.name!r}")
        self._left -= len(data)
        if self.entry.check is not None:
            self._sum = (self._sum + sum(data)) & MAX_SIZE
            if not self._left and self._sum != self.entry.check:
                raise FormatError(f"the checksum of {self.entry.name!r} is wrong")
        return data

    def all(self, limit: int) -> bytes:
        """All data, if it is not more than `limit` bytes; else FormatError."""
        if self.entry.size > limit:
            raise FormatError(f"{self.entry.name!r} has {self.entry.size} bytes; at most {limit} are allowed")
        parts: list[bytes] = []
        while data := self.read():
            parts.append(data)
        return b"".join(parts)

    def skip(self) -> None:
        """Read on to the end (a sum is checked here as well)."""
        while self.read():
            pass


class _Counted:
    """A stream that knows its position and never gives more than asked for."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.position = 0

    def some(self, size: int) -> bytes:
        data = self._source.read(min(size, CHUNK))
        if len(data) > size:
            raise FormatError("the stream gave more than it was asked for")
        self.position += len(data)
        return data

    def exactly(self, size: int, what: str) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            data = self.some(size - len(parts))
            if not data:
                raise FormatError(f"the archive ends inside of {what}")
            parts += data
        return bytes(parts)


def read(source: Readable, *, flat: bool = False, longest_name: int = 4096) -> Iterator[Member]:
    """The members of the archive, in order. FormatError for everything that is not a sound archive.

    With `flat`, names may have no folder and no more than 255 bytes, as in bundles; otherwise they must stay inside of
    the folder they are unpacked in. What a caller leaves unread of a member is skipped. Stops behind the trailer.
    """
    stream = _Counted(source)
    while True:
        entry = _entry(stream, 256 if flat else longest_name)
        if entry.name == TRAILER:
            if entry.size:
                raise FormatError("the trailer carries data")
            return
        _check_name(entry.name, flat=flat)
        member = Member(entry, stream)
        yield member
        member.skip()
        stream.exactly(-stream.position % 4, f"the padding of {entry.name!r}")


def _entry(stream: _Counted, longest_name: int) -> Entry:
    raw = stream.exactly(HEADER, "a header")
    magic = raw[:6]
    if magic not in (_MAGIC, _MAGIC_SUM):
        raise FormatError("a header has an unknown magic; only cpio archives of the kinds newc and crc are read")
    if raw[6:].strip(b"0123456789abcdefABCDEF"):
        raise FormatError("a header has a field that is not a number")
    numbers = [int(raw[start : start + 8], 16) for start in range(6, 6 + 8 * _FIELDS, 8)]
    _, mode, uid, gid, links, mtime, size, _, _, major, minor, name_size, check = numbers
    if not 2 <= name_size <= longest_name:
        raise FormatError(f"a name of {name_size} bytes is not allowed")
    name_raw = stream.exactly(name_size, "a name")
    if name_raw[-1] or b"\0" in name_raw[:-1]:
        raise FormatError("a name is not ended properly")
    stream.exactly(-stream.position % 4, "the padding of a name")
    try:
        name = name_raw[:-1].decode()
    except UnicodeDecodeError as error:
        raise FormatError("a name is not UTF-8") from error
    has_sum = magic == _MAGIC_SUM
    return Entry(name, mode, size, uid, gid, mtime, links, (major, minor), check if has_sum else None)


def _check_name(name: str, *, flat: bool) -> None:
    if flat and "/" in name:
        raise FormatError(f"{name!r} has a folder in its name")
    if name.startswith("/") or ".." in name.split("/") or (flat and name == "."):
        raise FormatError(f"{name!r} is not a safe name")
