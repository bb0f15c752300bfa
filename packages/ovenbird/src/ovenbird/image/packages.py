"""Which packages an image holds, read out of the own database of dpkg or pacman in its root image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ovenbird.base.apt import Package as Exact
from ovenbird.errors import ImageError
from ovenbird.files import write_atomically
from ovenbird.run import CommandError, run

STATUS = "var/lib/dpkg/status"
_NOT_THERE = ("no such file", "failed to find", "no matches for")
LOCAL = "var/lib/pacman/local/*-*/desc"


class Installed(msgspec.Struct, frozen=True, order=True):
    """One package; `size` is what it takes unpacked, in bytes, by its own account."""

    name: str
    version: str
    architecture: str
    size: int


def installed_packages(root: Path, *, offset: int = 0) -> tuple[Installed, ...]:
    """The packages of a squashfs at `offset` (bytes) of a file, sorted; none for a root without dpkg and pacman.

    Raises ImageError where it is no squashfs.
    """
    status = _text(root, STATUS, offset)
    if status is not None:
        return tuple(sorted(parse_status(status)))
    return tuple(sorted(parse_local(_text(root, LOCAL, offset) or "")))


def _text(root: Path, name: str, offset: int) -> str | None:
    """A file of a squashfs (or several, by a pattern); None if it is not there."""
    try:
        return run(["unsquashfs", "-offset", str(offset), "-cat", root, name], what=f"reading {root}").stdout
    except CommandError as error:
        if any(words in error.completed.stderr.lower() for words in _NOT_THERE):
            return None
        raise ImageError("this is no readable squashfs", where=str(root)) from error


def parse_local(text: str) -> Iterator[Installed]:
    """The packages of pacman's `desc` files, one after another: blocks of %NAME% and its lines (%SIZE% is in bytes)."""
    fields: dict[str, str] = {}
    for block in [*(block.strip() for block in text.split("\n\n") if block.strip()), "%NAME%\n"]:
        name, _, value = block.partition("\n")
        if name == "%NAME%" and fields:
            size = fields.get("%SIZE%", "0")
            yield Installed(fields["%NAME%"], fields.get("%VERSION%", ""), fields.get("%ARCH%", ""), int(size))
            fields = {}
        fields[name] = value


def parse_status(text: str) -> Iterator[Installed]:
    """The installed packages of a dpkg status file (deb-control(5) paragraphs; Installed-Size is in KiB)."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] not in " \t")
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            size = fields.get("Installed-Size", "0")
            yield Installed(
                fields["Package"],
                fields.get("Version", ""),
                fields.get("Architecture", ""),
                int(size) * 1024 if size.isdecimal() else 0,
            )


def write_packages(out: Path, installed: Sequence[Installed], kernel: Sequence[Exact]) -> None:
    """Keep the packages of an image: those of its root and those that its kernel and boot programs came from."""
    more = [Installed(package.name, package.version, package.architecture, package.size) for package in kernel]
    write_atomically(out, msgspec.json.encode(sorted({*installed, *more})))


def read_packages(file: Path) -> tuple[Installed, ...]:
    """What `write_packages` has kept."""
    return msgspec.json.decode(file.read_bytes(), type=tuple[Installed, ...])


def largest_packages(file: Path) -> list[tuple[str, int]]:
    """Names and sizes (bytes) of kept packages, the largest first."""
    return [(package.name, package.size) for package in sorted(read_packages(file), key=lambda p: -p.size)]
