"""A disk of Ovenbird's as the machine sees it that runs from it: the slot's root, with what data has over it.

`/etc` is an overlay, `/var`, `/home`, `/root` and the paths that persist are folders of data (docs/CONTRACT.md, 4); of
a machine that was run with a writable root, all of it is one overlay. Overlays are read as the kernel leaves them: a
character device 0:0 takes a path away, `trusted.overlay.opaque` what was below a folder.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ovenbird.capture.ext4 import Ext4
from ovenbird.capture.tree import Entry, Kind, Listed, Member
from ovenbird.errors import ImageError
from ovenbird.image.reading import squashfs
from ovenbird.image.reading.disk import Opened, chosen_slot, root_region
from ovenbird.image.reading.region import Content, Region, recognise
from ovenbird.image.reading.unpack import unpack_root

WRITABLE: Final = "/writable/root"
"""Where data has the upper layer of a root that could be written."""
AREAS: Final = ("/var", "/home", "/root")
IMAGE_OWNED: Final = ("/var/lib/dpkg",)
_OPAQUE: Final = "trusted.overlay.opaque"
_KINDS: Final = {
    squashfs.Kind.FILE: Kind.FILE,
    squashfs.Kind.FOLDER: Kind.FOLDER,
    squashfs.Kind.LINK: Kind.LINK,
    squashfs.Kind.CHARACTERS: Kind.CHARACTERS,
    squashfs.Kind.BLOCKS: Kind.BLOCKS,
    squashfs.Kind.PIPE: Kind.PIPE,
}


@dataclass(slots=True)
class Squashed:
    """A squashfs as a source of its own: described by its definitions, its contents unpacked into `scratch`."""

    region: Region
    scratch: Path
    notes: list[str] = field(default_factory=list[str])
    _entries: Mapping[str, squashfs.Entry] = field(default_factory=dict[str, squashfs.Entry])

    def paths(self) -> list[Listed]:
        """Everything that is in it."""
        self._entries = squashfs.walk(self.region, data=False).entries
        return [
            Listed(path, _KINDS[entry.kind], entry.size, entry.time)
            for path, entry in self._entries.items()
            if path != "/" and entry.kind in _KINDS
        ]

    def read(self, chosen: Sequence[str]) -> Iterator[Member]:
        """These paths with their contents."""
        folder = self.scratch / "root"
        unpack_root(self.region, folder)
        first: dict[str, str] = {}
        for path in chosen:
            found = self._entries[path]
            hard_link = first.setdefault(found.same_as or path, path) if _KINDS[found.kind] is Kind.FILE else path
            kind = _KINDS[found.kind]
            numbers = [int(word) for word in found.target.split() if word.isdigit()]
            entry = Entry(
                path,
                kind,
                found.mode,
                found.uid,
                found.gid,
                size=found.size if kind is Kind.FILE and hard_link == path else 0,
                time=found.time,
                target=found.target if kind is Kind.LINK else "",
                device=(numbers[0], numbers[1]) if kind in (Kind.CHARACTERS, Kind.BLOCKS) else (0, 0),
                hard_link="" if hard_link == path else hard_link,
                attributes=dict(_attribute(text) for text in found.attributes),
            )
            file = folder / path[1:]
            if not entry.size:
                yield entry, io.BytesIO()
                continue
            if os.geteuid() != 0:
                file.chmod(0o600)
            with file.open("rb") as stream:
                yield entry, stream


def _attribute(text: str) -> tuple[str, bytes]:
    """An extended attribute as unsquashfs writes it: `name=0sBASE64` or `0x` and digits, else text with escapes."""
    name, _, value = text.partition("=")
    if value.startswith("0s"):
        return name, base64.b64decode(value[2:])
    if value.startswith("0x"):
        return name, bytes.fromhex(value[2:])
    return name, os.fsencode(value.removeprefix("0t"))


@dataclass(slots=True)
class Slots:
    """The root of a slot and the file system of data, as one."""

    root: Squashed
    data: Ext4 | None
    slot: str
    notes: list[str] = field(default_factory=list[str])
    _origin: dict[str, str] = field(default_factory=dict[str, str])
    """Where data has a path; those that are not here are the root's."""

    @classmethod
    def at(cls, opened: Opened, scratch: Path, slot: str | None = None) -> Slots:
        """A disk or a root. Raises UsageError, ImageError."""
        root = Squashed(root_region(opened, slot), scratch)
        region = opened.partition("data") if opened.content is Content.DISK else None
        if region is None or recognise(region) is not Content.EXT:
            return cls(root, None, slot or "a")
        data = Ext4.at(region, scratch)
        return cls(root, data, chosen_slot(opened, slot), list(data.notes))

    def paths(self) -> list[Listed]:
        """Everything, as the running machine sees it."""
        listed = {one.path: one for one in self.root.paths()}
        if self.data is None:
            return list(listed.values())
        there = {one.path: one for one in self.data.paths()}
        if WRITABLE in there:
            self.notes.append("taken as it was run with a writable root")
            self._layer(listed, there, WRITABLE, "")
            return list(listed.values())
        self._layer(listed, there, f"/slots/{self.slot}/etc", "/etc")
        for area in AREAS:
            self._replace(listed, there, area, area, IMAGE_OWNED)
        persisted = [path.removeprefix("/persist") for path in there if path.startswith("/persist/")]
        kept = {path for path in persisted if f"/seeded{path}.list" in there}
        for path in sorted(kept):
            self._replace(listed, there, f"/persist{path}", path, ())
        return list(listed.values())

    def _layer(self, listed: dict[str, Listed], there: Mapping[str, Listed], upper: str, place: str) -> None:
        """Put the upper layer of an overlay over what is at `place`."""
        assert self.data is not None
        for path, one in there.items():
            if not path.startswith(f"{upper}/"):
                continue
            target = place + path.removeprefix(upper)
            inode = self.data.inode(path)
            gone = one.kind is Kind.CHARACTERS and inode.device == (0, 0)
            opaque = any(name == _OPAQUE for name, _ in inode.attributes)
            if gone or opaque or one.kind is not Kind.FOLDER:
                self._remove(listed, target)
            if not gone:
                self._put(listed, target, one)

    def _replace(
        self, listed: dict[str, Listed], there: Mapping[str, Listed], source: str, target: str, owned: Sequence[str]
    ) -> None:
        """Take what data has of an area in place of the image's, but for what describes the image."""
        if source not in there:
            return
        kept = {path: one for path, one in listed.items() if _is_in(path, owned)}
        self._remove(listed, target)
        for path, one in there.items():
            place = target + path.removeprefix(source)
            if (path == source or path.startswith(f"{source}/")) and not _is_in(place, owned):
                self._put(listed, place, one)
        for path, one in kept.items():
            listed[path] = one

    def _put(self, listed: dict[str, Listed], path: str, one: Listed) -> None:
        listed[path] = replace(one, path=path)
        self._origin[path] = one.path

    def _remove(self, listed: dict[str, Listed], path: str) -> None:
        former = listed.get(path)
        gone = [path] if former else []
        if former is not None and former.kind is Kind.FOLDER:
            gone += [one for one in listed if one.startswith(f"{path}/")]
        for one in gone:
            del listed[one]
            self._origin.pop(one, None)

    def read(self, chosen: Sequence[str]) -> Iterator[Member]:
        """These paths, each from where it is."""
        of_root = self.root.read([path for path in chosen if path not in self._origin])
        of_data: Iterator[Member] = iter(())
        places: dict[str, str] = {}
        if self.data is not None:
            wanted = [path for path in chosen if path in self._origin]
            places = {self._origin[path]: path for path in wanted}
            of_data = self.data.read([self._origin[path] for path in wanted])
        for path in chosen:
            entry, content = next(of_data if path in self._origin else of_root)
            if path in self._origin:
                hard_link = places[entry.hard_link] if entry.hard_link else ""
                entry = replace(entry, path=path, hard_link=hard_link)
            if entry.path != path:
                raise ImageError("its files come in another order than they were asked for", where=path)
            yield entry, content


def _is_in(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
