"""What differs between two images: packages, files, sizes.

Two disks are compared partition by partition; a disk and a single root or boot image by the disk's active slot. Times
of files do not count. Partitions that are no file system are compared as bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ovenbird.errors import ImageError
from ovenbird.image.packages import Installed
from ovenbird.image.reading import fat, initrd, packages, squashfs
from ovenbird.image.reading.disk import Opened, boot_region, open_image, root_region
from ovenbird.image.reading.region import Content, Region, printable, recognise


class PackageChange(msgspec.Struct, frozen=True):
    """A package; an empty version means that it is not there."""

    name: str
    before: str
    after: str


class FileChange(msgspec.Struct, frozen=True):
    """A path; `what` is "added", "removed", or the changed things. Sizes in bytes, None where it is not there."""

    path: str
    what: tuple[str, ...]
    before: int | None
    after: int | None


class PartChange(msgspec.Struct, frozen=True):
    """One part of an image (a partition, or the whole): sizes in bytes, and what changed in it."""

    name: str
    content: str
    before: int | None
    after: int | None
    packages: tuple[PackageChange, ...] = ()
    files: tuple[FileChange, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """All that differs; only parts with a difference are listed."""

    before: str
    after: str
    same: bool
    parts: tuple[PartChange, ...]


def compare(before: Path, after: Path) -> Difference:
    """Compare two images. UsageError for a path without one, ImageError for foreign, damaged or incomparable ones."""
    one, two = open_image(before), open_image(after)
    left, right = _parts(one, two), _parts(two, one)
    changes: list[PartChange] = []
    for name in [*left, *(name for name in right if name not in left)]:
        change = _part(name, left.get(name), right.get(name))
        if change is not None:
            changes.append(change)
    return Difference(printable(str(before)), printable(str(after)), not changes, tuple(changes))


def _parts(opened: Opened, other: Opened) -> dict[str, Region]:
    if opened.content is not Content.DISK:
        names = {Content.SQUASHFS: "root", Content.FAT: "boot"}
        if other.content is not Content.DISK and opened.content is not other.content:
            raise ImageError(
                f"a {opened.content} and a {other.content} image cannot be compared", where=str(opened.path)
            )
        return {names.get(opened.content, str(opened.content)): opened.region}
    if other.content is Content.SQUASHFS:
        return {"root": root_region(opened)}
    if other.content is Content.FAT:
        return {"boot": boot_region(opened)}
    if other.content is not Content.DISK:
        raise ImageError(f"a disk and a {other.content} image cannot be compared", where=str(other.path))
    # An extended partition has no name and is no content: it only holds others.
    return {
        printable(one.name): Region(opened.region.path, one.offset, one.size) for one in opened.partitions if one.name
    }


def _part(name: str, before: Region | None, after: Region | None) -> PartChange | None:
    if before is None or after is None:
        there = before or after
        assert there is not None
        return PartChange(name, recognise(there), before.size if before else None, after.size if after else None)
    kinds = {recognise(before), recognise(after)}
    sizes = before.size, after.size
    if before.size == after.size and before.sha256() == after.sha256():
        return None
    if len(kinds) > 1:
        return PartChange(name, " / ".join(dict.fromkeys((recognise(before), recognise(after)))), *sizes)
    kind = kinds.pop()
    if kind is Content.SQUASHFS:
        return _roots(name, before, after)
    if kind in (Content.FAT, Content.INITRD):
        read = _fat_files if kind is Content.FAT else _initrd_files
        changes = _changes(read(before), read(after))
        return PartChange(name, kind, *sizes, files=changes)
    return PartChange(name, kind, *sizes)


def _roots(name: str, before: Region, after: Region) -> PartChange | None:
    """Two roots of different bytes; None if only what lies behind the file system differs."""
    sizes = squashfs.superblock(before).size, squashfs.superblock(after).size
    trees = [squashfs.walk(region, keep=lambda path: path == packages.STATUS) for region in (before, after)]
    installed = [{_package(one): one.version for one in packages.installed(tree)} for tree in trees]
    changed = tuple(
        PackageChange(package, installed[0].get(package, ""), installed[1].get(package, ""))
        for package in sorted({*installed[0], *installed[1]})
        if installed[0].get(package) != installed[1].get(package)
    )
    files = _changes(*(
        {path: (entry.size, _facts(entry)) for path, entry in tree.entries.items()} for tree in trees
    ))  # fmt: skip
    if not changed and not files and before.part(0, sizes[0]).sha256() == after.part(0, sizes[1]).sha256():
        return None
    return PartChange(name, Content.SQUASHFS, *sizes, packages=changed, files=files)


def _package(package: Installed) -> str:
    return f"{package.name}:{package.architecture}"


def _facts(entry: squashfs.Entry) -> dict[str, object]:
    return {
        "kind": entry.kind,
        "content": entry.sha256,
        "target": entry.target,
        "mode": entry.mode,
        "owner": (entry.uid, entry.gid),
        "links": entry.same_as,
        "attributes": entry.attributes,
    }


_Files = Mapping[str, tuple[int, Mapping[str, object]]]


def _changes(before: _Files, after: _Files) -> tuple[FileChange, ...]:
    changes: list[FileChange] = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            what: tuple[str, ...] = ("added",) if old is None else ("removed",)
        else:
            what = tuple(name for name, fact in old[1].items() if new[1].get(name) != fact)
            # What a thing consists of says nothing when it is another kind of thing.
            what = ("kind",) if "kind" in what else what
        if what:
            changes.append(FileChange(printable(path), what, old[0] if old else None, new[0] if new else None))
    return tuple(changes)


def _fat_files(region: Region) -> _Files:
    return {name: (len(content), {"content": content}) for name, content in fat.read_all(region).items()}


def _initrd_files(region: Region) -> _Files:
    found: dict[str, tuple[int, dict[str, object]]] = {}
    for member in initrd.members(region):
        entry = member.entry
        found[entry.name] = (
            entry.size,
            {
                "kind": entry.mode & 0o170000,
                "content": _digest(member.read),
                "mode": entry.mode & 0o7777,
                "owner": (entry.uid, entry.gid),
                "target": entry.device,
            },
        )
    return found


def _digest(read: Callable[[], bytes]) -> str:

    digest = hashlib.sha256()
    while data := read():
        digest.update(data)
    return digest.hexdigest()
