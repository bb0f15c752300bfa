"""The base `tar`: a root file tree that somebody else has packed, taken over member by member.

What a tarball may say is checked before anything of it is unpacked: whoever wrote it may not have meant well, and an
engine that unpacks it as root must not be led out of the tree. The same pass tells what kind of system it is: whose
processor it is for, whether its init is there, and whether our agent can live in it.
"""

from __future__ import annotations

import lzma
import re
import subprocess
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

import msgspec

from ovenbird.build.elf import HEAD, foreign_machine, machine_of
from ovenbird.errors import RecipeError
from ovenbird.run import spawn

MOUNT_POINTS = ("boot", "data", "dev", "etc", "proc", "run", "sys", "tmp", "var")
"""Folders that our initrd wants to find, whatever a root has."""
_LIVING = ("dev", "proc", "run", "sys", "tmp")
"""Folders whose content is made anew at each boot: what a tarball has there is left out."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_WHITEOUT = ".wh."  # OCI image-spec, layer.md, "Whiteouts"
_LINKS = 40  # path_resolution(7): how many links a path may lead through
_INITS = ("/sbin/init", "/usr/lib/systemd/systemd", "/init", "/linuxrc", "/bin/busybox")
_LOADERS = re.compile(r"(?:^|/)ld-(linux|musl)[^/]*\.so\.\d$")
_PYTHON = re.compile(r"usr/bin/python(3\.\d+)$")
_PACKED = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)


class Inspection(msgspec.Struct, frozen=True):
    """What a tarball's root is, as far as a build has to know."""

    prefix: str
    """The folder in the archive that is the root; empty for the archive's own root."""
    machines: tuple[str, ...]
    """Paths of the programs that tell the processor, each with its machine: `bin/sh 62`."""
    links: dict[str, str]
    """Every symbolic link that may lead to a program, with its target."""
    programs: tuple[str, ...]
    """Files in the folders of programs, and those in the root itself."""
    python: str
    libc: str
    """`glibc`, `musl`, or nothing."""
    systemd: bool
    pacman: bool
    folders: tuple[str, ...]
    """Which of MOUNT_POINTS are there."""
    newest: int
    """The time of the latest change, in seconds since the epoch."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What our agent would need and this root does not have; nothing where it can live there."""
        found: list[str] = []
        if not self.systemd:
            found.append("no systemd")
        if not self.python:
            found.append("no Python")
        elif tuple(int(part) for part in self.python.split(".")) < (3, 11):
            found.append(f"Python {self.python}, which is older than 3.11")
        if self.libc == "musl":
            found.append("musl in place of glibc")
        return tuple(found)

    def find(self, path: str) -> str | None:
        """The file that an absolute path comes to, through whatever links; None if there is none."""
        return _resolve(path, self.links, frozenset(self.programs))


@dataclass(slots=True)
class _Reading:
    """What has been seen of an archive so far. Paths are relative to its root, without slashes at the ends."""

    where: str
    links: dict[str, str] = field(default_factory=dict[str, str])
    files: set[str] = field(default_factory=set[str])
    folders: set[str] = field(default_factory=set[str])
    machines: dict[str, int] = field(default_factory=dict[str, int])
    newest: int = 0

    def wrong(self, message: str) -> RecipeError:
        """The error for a member."""
        return RecipeError(message, where=self.where, hint="take a tarball of a root file tree from a source you trust")

    def place(self, name: str, what: str = "member") -> str:
        """A member's path in plain form. Raises RecipeError for one that leads out of the tree."""
        if name.startswith("/"):
            raise self.wrong(f'the {what} "{name[:200]}" has an absolute path, so it would be written outside')
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.wrong(f'the {what} "{name[:200]}" leads out of the tree')
        if any(part.startswith(_WHITEOUT) for part in parts):
            raise self.wrong(f'the {what} "{name[:200]}" has a name that container engines take for an order to delete')
        path = "/".join(parts)
        for parent in PurePosixPath(path).parents:
            if str(parent) in self.links:
                raise self.wrong(
                    f'the {what} "{name[:200]}" would be written through the link "{parent}" (to'
                    f' "{self.links[str(parent)][:200]}")'
                )
        return path

    def take(self, member: tarfile.TarInfo) -> str:
        """Check a member and remember it; returns its path. Raises RecipeError."""
        path = self.place(member.name)
        self.newest = max(self.newest, int(member.mtime))
        if member.isdir():
            self.links.pop(path, None)
            self.folders.add(path)
        elif member.issym():
            self.links[path] = member.linkname
        elif member.islnk():
            target = self.place(member.linkname, "hard link to")
            if target not in self.files:
                raise self.wrong(f'the hard link "{path}" is to "{target}", which is no file before it')
            self.files.add(path)
            self.links.pop(path, None)
        elif member.isfile():
            self.files.add(path)
            self.links.pop(path, None)
        elif member.ischr() or member.isblk():
            if not any(part in ("dev",) for part in path.split("/")):
                raise self.wrong(f'"{path}" is a device node outside of /dev')
        elif not member.isfifo():
            raise self.wrong(f'"{path}" is of a kind that no root has')
        return path


@contextmanager
def _members(tarball: Path) -> Generator[tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]]:
    """The archive and its members in their order. Raises RecipeError for what is no archive, or a damaged one."""
    with tarball.open("rb") as stream:
        packed_by_zstd = stream.read(4) == _ZSTD
    try:
        if packed_by_zstd:
            with (
                spawn(["zstd", "-dcq", tarball], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
                tarfile.open(fileobj=cast("IO[bytes]", process.stdout), mode="r|") as archive,
            ):
                yield archive, iter(archive)
        else:
            with tarfile.open(tarball, "r|*") as archive:
                yield archive, iter(archive)
    except _PACKED as error:
        raise RecipeError(
            f"this is no whole tar archive: {error}",
            where=str(tarball),
            hint="a tarball is packed by gzip, bzip2, xz, zstd, or not at all; get it again",
        ) from error


def inspect(tarball: Path) -> Inspection:
    """Read a tarball from end to end. Raises RecipeError for one that is no root, or that would write outside of it."""
    reading = _Reading(str(tarball))
    with _members(tarball) as (archive, members):
        for member in members:
            path = reading.take(member)
            if member.isfile() and member.size >= HEAD:
                content = archive.extractfile(member)
                machine = machine_of(content.read(HEAD)) if content else None
                if machine is not None:
                    reading.machines[path] = machine
    return _described(reading)


def _described(reading: _Reading) -> Inspection:
    prefix = _prefix(reading)
    inner = f"{prefix}/" if prefix else ""

    def below(paths: set[str]) -> set[str]:
        return {path.removeprefix(inner) for path in paths if path.startswith(inner)}

    files, folders = below(reading.files), below(reading.folders)
    links = {path.removeprefix(inner): to for path, to in reading.links.items() if path.startswith(inner)}
    everything = files | links.keys() | {str(parent) for path in files for parent in PurePosixPath(path).parents}
    programs = {path for path in files if _is_program(path)}
    pythons = [found[1] for path in sorted(programs) if (found := _PYTHON.fullmatch(path))]
    loaders = {found[1] for path in files | links.keys() if (found := _LOADERS.search(path))}
    machines = {path.removeprefix(inner): machine for path, machine in reading.machines.items()}
    return Inspection(
        prefix=prefix,
        machines=tuple(f"{path} {machines[path]}" for path in sorted(programs & machines.keys())),
        links={path: to for path, to in sorted(links.items()) if _is_program(path) or "/" not in path},
        programs=tuple(sorted(programs)),
        python=max(pythons, key=lambda version: int(version.split(".")[1]), default=""),
        libc="glibc" if "linux" in loaders else "musl" if "musl" in loaders else "",
        systemd=bool({"usr/lib/systemd/systemd", "lib/systemd/systemd"} & files),
        pacman="usr/bin/pacman" in everything and any(path.startswith("var/lib/pacman/local/") for path in files),
        folders=tuple(name for name in MOUNT_POINTS if name in folders | links.keys()),
        newest=reading.newest,
    )


def _is_program(path: str) -> bool:
    """Whether a file may be a system's init or its shell: few of many, so that an inspection stays small."""
    parent, _, name = path.rpartition("/")
    return (
        parent in ("", "bin", "sbin", "usr/bin", "usr/sbin")
        or name in ("init", "systemd")
        or "busybox" in name
        or (parent in ("lib", "lib64") and name.startswith("ld-"))
    )


def _prefix(reading: _Reading) -> str:
    """Where the root begins: at the top, or in the one folder that holds all. Raises RecipeError if nowhere."""

    def is_root(begin: str) -> bool:
        known = reading.files | reading.folders | reading.links.keys()
        return any(f"{begin}{name}" in known or any(path.startswith(f"{begin}{name}/") for path in known)
                   for name in ("bin", "sbin", "usr/bin"))  # fmt: skip

    if is_root(""):
        return ""
    tops = {path.split("/")[0] for path in reading.files | reading.folders if path}
    roots = sorted(top for top in tops if is_root(f"{top}/"))
    if len(roots) == 1:
        return roots[0]
    found = ", ".join(sorted(tops)[:6]) or "nothing"
    raise RecipeError(
        f"this is no root file tree: it has neither /bin nor /usr/bin, but {found}",
        where=reading.where,
        hint="pack the root itself: tar -C ROOT --numeric-owner --xattrs -czf rootfs.tar.gz .",
    )


def _resolve(path: str, links: dict[str, str], files: frozenset[str]) -> str | None:
    """Follow an absolute path through links, as path_resolution(7) does."""
    left, done = path.strip("/").split("/"), ""
    for _ in range(_LINKS * 8):
        if not left:
            return done if done in files else None
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}" if done else part
        if here in links:
            target = links[here]
            left = target.split("/") + left
            if target.startswith("/"):
                done = ""
        else:
            done = here
    return None


def check(root: Inspection, tarball: Path, *, init: str | None, architecture: str) -> None:
    """Raise RecipeError where a root has no such init, or is made for another processor."""
    machines = {path: int(number) for path, _, number in (line.rpartition(" ") for line in root.machines)}
    first = root.find(init or "/bin/sh")
    if init is not None and first is None:
        others = [path for path in _INITS if path != init and root.find(path)]
        hint = f'write `init = "{others[0]}"` in [base]' if others else "name the system's own by `init` in [base]"
        raise RecipeError(f"the root has no init {init}", where=str(tarball), hint=hint)
    for path in (first, root.find("/bin/sh"), *sorted(machines)):
        if path is not None and path in machines:
            other = foreign_machine(machines[path], architecture)
            if other is not None:
                raise RecipeError(
                    f"the root is for {other} (its /{path} is), but the board's architecture is {architecture}",
                    where=str(tarball),
                    hint="take the tarball of the board's architecture, or another board",
                )
            return


def write_root(tarball: Path, root: Inspection, out: Path) -> None:
    """Write the tree as a plain tar to `out`: what lies below the prefix, with the folders that we need, and without
    what is made anew at each boot.
    """
    reading, inner = _Reading(str(tarball)), f"{root.prefix}/" if root.prefix else ""
    with (
        _members(tarball) as (archive, members),
        tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as writing,
    ):
        for name in MOUNT_POINTS:
            if name not in root.folders:
                writing.addfile(_folder(name, root.newest))
        for member in members:
            path = reading.take(member)
            if not path.startswith(inner) or path == root.prefix:
                continue
            name = path.removeprefix(inner)
            if name.split("/")[0] in _LIVING and "/" in name:
                continue
            if member.ischr() or member.isblk():
                continue
            headers = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            member.name, member.pax_headers = name, headers
            if member.islnk():
                member.linkname = reading.place(member.linkname).removeprefix(inner)
            writing.addfile(member, archive.extractfile(member) if member.isfile() else None)


def members_below(tarball: Path, prefix: str, folder: str) -> Iterator[tuple[str, bytes]]:
    """The files below a folder of a tarball's root, each by its path from there, with its content."""
    begin = f"{prefix}/{folder}/" if prefix else f"{folder}/"
    reading = _Reading(str(tarball))
    with _members(tarball) as (archive, members):
        for member in members:
            path = reading.take(member)
            if path.startswith(begin) and member.isfile() and (content := archive.extractfile(member)):
                yield path.removeprefix(begin), content.read()


def _folder(name: str, mtime: int) -> tarfile.TarInfo:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755, mtime
    return folder
