"""Which packages an image holds, read out of dpkg's own database in its root image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ovenbird.base.apt import Package as Exact
from ovenbird.errors import ImageError
from ovenbird.files import write_atomically
from ovenbird.run import CommandError, run

STATUS = "var/lib/dpkg/status"


class Installed(msgspec.Struct, frozen=True, order=True):
    """One package; `size` is what it takes unpacked, in bytes, by its own account."""

    name: str
    version: str
    architecture: str
    size: int


def installed_packages(root: Path, *, offset: int = 0) -> tuple[Installed, ...]:
    """The packages of a squashfs at `offset` (bytes) of a file, sorted; none for a root without dpkg.

    Raises ImageError where it is no squashfs.
    """
    try:
        completed = run(["unsquashfs", "-offset", str(offset), "-cat", root, STATUS], what=f"reading {root}")
    except CommandError as error:
        if "no such file" in error.completed.stderr.lower() or "failed to find" in error.completed.stderr.lower():
            return ()
        raise ImageError("this is no readable squashfs", where=str(root)) from error
    return tuple(sorted(parse_status(completed.stdout)))


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
