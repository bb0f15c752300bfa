"""Debian packages taken apart: their files, what dpkg would keep of them, and nothing run.

NAME/control/    md5sums, postinst, …: what dpkg keeps below /var/lib/dpkg/info, and `control` itself
NAME/files/      the files, with the rights that everybody may have: owners are in the list
NAME/entries     the list of all paths with their owners, rights and times
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO

import msgspec

from ovenbird.base.apt import Package
from ovenbird.errors import BuildError
from ovenbird.interrupts import Pool
from ovenbird.run import CommandError, run, spawn

ENTRIES, CONTROL, FILES = "entries", "control", "files"
_PIECE = 1 << 20


class Kind(StrEnum):
    """What a path of a package is."""

    FILE = "f"
    FOLDER = "d"
    LINK = "l"
    HARD = "h"  # another name of a file that the package has already


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One path of a package, as its archive has it."""

    path: str  # without a slash at either end; "" is the root
    kind: Kind
    mode: int
    user: str
    group: str
    mtime: int  # seconds since the epoch
    link: str = ""  # where a link leads; of a further name, the first one


def unpack(
    packages: Sequence[Package], archives: Path, out: Path, *, on_bytes: Callable[[int, int], None] | None = None
) -> None:
    """Take packages apart below `out`, on all cores. `archives` has their files by `Package.file_name`.

    Raises BuildError for a file that is no package.
    """
    total, done = sum(package.size for package in packages), 0
    with Pool(os.cpu_count() or 1, "unpack") as pool:
        largest_first = sorted(packages, key=lambda package: -package.size)
        jobs = [
            (package, pool.submit(_unpack, archives / package.file_name, out / package.name))
            for package in largest_first
        ]
        for package, job in jobs:
            job.result()
            done += package.size
            if on_bytes:
                on_bytes(done, total)


def _unpack(package: Path, folder: Path) -> None:
    (folder / FILES).mkdir(parents=True)
    try:
        run(["dpkg-deb", "--control", package, folder / CONTROL], what=f"unpacking {package.name}")
    except CommandError as error:
        raise _damaged(package) from error
    with spawn(["dpkg-deb", "--fsys-tarfile", package], stdout=-1) as process:
        assert process.stdout is not None
        try:
            found = _read(process.stdout, folder / FILES)
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(package) from error
        if process.wait() != 0:
            raise _damaged(package)
    (folder / ENTRIES).write_bytes(msgspec.json.encode(found))


def extract(package: Path, folder: Path) -> None:
    """Put a package's files into a folder; documents and translations are of no use where nothing is installed."""
    with spawn(["dpkg-deb", "--fsys-tarfile", package], stdout=-1) as deb:
        run(
            [
                "tar", "--extract", "--directory", folder, "--no-same-owner", "--delay-directory-restore",
                "--exclude=./usr/share/doc", "--exclude=./usr/share/locale", "--exclude=./usr/share/man",
            ],
            stdin=deb.stdout,
            what=f"unpacking {package.name}",
        )  # fmt: skip
        if deb.wait() != 0:
            raise _damaged(package)


def _damaged(package: Path) -> BuildError:
    return BuildError(f"{package.name} cannot be unpacked", hint="remove it with `ovenbird store gc --packages`")


def _read(stream: IO[bytes], files: Path) -> list[Entry]:
    """Write the files of an archive below a folder, and return the list of all that it has."""
    found: list[Entry] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = member.name.removeprefix(".").strip("/")
            if ".." in path.split("/"):
                raise tarfile.TarError(f"{member.name} leads out of the tree")
            link = ""
            place = files / path
            if member.isdir():
                kind = Kind.FOLDER
                place.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                kind, link = Kind.LINK, member.linkname
            elif member.islnk():
                kind, link = Kind.HARD, member.linkname.removeprefix(".").strip("/")
                os.link(files / link, place)
            elif member.isfile():
                kind = Kind.FILE
                content = archive.extractfile(member)
                assert content is not None
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as out:
                    while piece := content.read(_PIECE):
                        out.write(piece)
            else:
                raise tarfile.TarError(f"{member.name} is of a kind that packages do not have")
            user, group = member.uname or str(member.uid), member.gname or str(member.gid)
            found.append(Entry(path, kind, member.mode, user, group, int(member.mtime), link))
    return found


class Unpacked(msgspec.Struct, frozen=True):
    """A package that was taken apart."""

    folder: Path

    @property
    def entries(self) -> list[Entry]:
        """All its paths, in the order of its archive."""
        return msgspec.json.decode((self.folder / ENTRIES).read_bytes(), type=list[Entry])

    @property
    def control(self) -> str:
        """Its control file."""
        return (self.folder / CONTROL / "control").read_text()

    def kept(self) -> dict[str, Path]:
        """What dpkg keeps of it beside the control file, by the name's ending ("postinst")."""
        return {file.name: file for file in sorted((self.folder / CONTROL).iterdir()) if file.name != "control"}

    def file(self, path: str) -> Path:
        """Where one of its files is."""
        return self.folder / FILES / path
