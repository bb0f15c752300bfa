"""What packages own in a tree that was made for this machine's architecture (the twin), turned into another one's.

For every path that a package owns, the target's package has the word: its file takes the place of the twin's, with the
twin's owner, rights and attributes, which are what the packages' scripts and the stages have made of them. What is the
same for both architectures stays untouched. What no package owns stays as well; where its name or link has the name of
the architecture, it is translated. A path that only the twin's package has goes. A file of a package that somebody
changed stays as it is, and is looked at by the proof like a file of nobody.

Works on a folder, in place, and needs the rights over it. The database of packages follows in `database`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path

from ovenbird.build.cross.dpkg import Diversions, Names, Paragraph, info_name, parse
from ovenbird.build.cross.rooted import Rooted
from ovenbird.build.debs import Entry, Kind, Unpacked

INFO = "var/lib/dpkg/info"
STATUS = "var/lib/dpkg/status"
DIVERSIONS = "var/lib/dpkg/diversions"
NOT_OURS = ("trusted.overlay.", "user.overlay.", "security.selinux")  # Attributes of where a file lies.
TEMPORARY = ".ovenbird-graft"
Digests = Mapping[str, str]


class Action(Enum):
    """What becomes of a path that the target's package has."""

    TAKE = "the target's file"
    KEEP = "the twin's file: it is the same, or somebody has changed it"
    LEAVE = "nothing: somebody has removed it"


@dataclass(frozen=True, slots=True)
class Owned:
    """A path of a package of the twin's own architecture; `digest` is its md5 as it was packaged, if it was a file."""

    package: str
    digest: str | None


@dataclass(slots=True)
class Twin:
    """A tree and what its database of packages says before anything is changed."""

    root: Rooted
    names: Names
    packages: dict[str, Paragraph]
    """The packages of the host's architecture, by name."""
    owned: dict[str, Owned]
    """Paths of these packages, by their own names (`Rooted.canonical`)."""
    common: set[str]
    """Paths of packages that are the same for all architectures."""
    diversions: Diversions
    _back: dict[str, str] = field(default_factory=dict[str, str])

    def before(self, place: str) -> str:
        """Where the twin has what the target has at a place."""
        return place if place in self.owned else self._back.get(place, place)

    @classmethod
    def read(cls, folder: Path, names: Names) -> Twin:
        """Read the database of a tree."""
        root = Rooted(folder)
        paragraphs = parse((folder / STATUS).read_text())
        diverted = folder / DIVERSIONS
        diversions = Diversions.parse(diverted.read_text() if diverted.exists() else "")
        twin = cls(root, names, {}, {}, set(), diversions)
        for fields in paragraphs:
            name, architecture = fields["Package"], fields.get("Architecture", "")
            own = architecture == names.host.debian
            prefix = info_name(name, architecture, fields.get("Multi-Arch", ""))
            listed = folder / INFO / f"{prefix}.list"
            paths = listed.read_text().splitlines() if listed.exists() else []
            if own:
                twin.packages[name] = fields
            digests = {**conffiles(fields), **md5sums(folder / INFO / f"{prefix}.md5sums")} if own else {}
            for path in paths:
                place = root.canonical(diversions.place(path, name)) if path != "/." else ""
                if own:
                    known = twin.owned.get(place)
                    if known is None or known.digest is None:
                        twin.owned[place] = Owned(name, digests.get(path.lstrip("/")))
                else:
                    twin.common.add(place)
        twin._back = {names.path(path): path for path in twin.owned}
        return twin


def conffiles(fields: Paragraph) -> dict[str, str]:
    """The md5s of a package's conffiles by their paths, as packaged."""
    lines = [line.split() for line in fields.get("Conffiles", "").splitlines()]
    return {words[0].lstrip("/"): words[1] for words in lines if len(words) >= 2}


def md5sums(file: Path) -> dict[str, str]:
    """The digests of a package's files by their paths (deb-md5sums(5)); none where it has no such list."""
    if not file.exists():
        return {}
    pairs = [line.split(None, 1) for line in file.read_text().splitlines()]
    return {pair[1].strip().lstrip("/"): pair[0] for pair in pairs if len(pair) == 2}


def md5(file: Path) -> str:
    """The md5 of a file's content, which is what packages have."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def decide(
    entry: Entry, wanted: str | None, had: Owned | None, there: os.stat_result | None, content: str | None
) -> Action:
    """What becomes of one path that is no folder.

    `wanted` is the md5 of the target's file, `had` what the twin's package has for the path, `there` what lies there
    now, `content` its md5 or where it links to.
    """
    if there is None:
        return Action.TAKE if had is None else Action.LEAVE
    if stat.S_ISDIR(there.st_mode):
        return Action.KEEP
    if entry.kind is Kind.LINK:
        if stat.S_ISLNK(there.st_mode):
            return Action.KEEP if content == entry.link else Action.TAKE
        return Action.KEEP if had is None or (had.digest is not None and had.digest != content) else Action.TAKE
    if had is None:
        return Action.KEEP  # Somebody's own file is in the way of one that only the target's package has.
    if stat.S_ISLNK(there.st_mode):
        return Action.KEEP if had.digest is not None else Action.TAKE
    if content == wanted:
        return Action.KEEP
    return Action.TAKE if had.digest is None or content == had.digest else Action.KEEP


@dataclass(slots=True)
class Graft:
    """The work on one tree. `claimed` are the paths that the target's packages have, `digests` the md5s of the files
    among them, as packaged."""

    twin: Twin
    claimed: set[str] = field(default_factory=set[str])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    taken: dict[str, Path] = field(default_factory=dict[str, Path])
    """Paths that got the target's file, and where that came from."""
    _users: dict[str, int] = field(default_factory=dict[str, int])
    _groups: dict[str, int] = field(default_factory=dict[str, int])
    _moved: Diversions = field(default_factory=lambda: Diversions({}))
    _filters: list[tuple[bool, str]] = field(default_factory=list[tuple[bool, str]])

    def run(self, packages: Iterable[Unpacked]) -> None:
        """Put the packages' files into the tree and take away what only the twin's packages have."""
        root, names = self.twin.root, self.twin.names
        self._users = _numbers(root.folder / "etc/passwd")
        self._groups = _numbers(root.folder / "etc/group")
        moved = self.twin.diversions.moved.items()
        self._moved = Diversions({names.path(path): (names.path(to), by) for path, (to, by) in moved})
        self._filters = filters(root.folder / "etc/dpkg/dpkg.cfg.d")
        for package in packages:
            self._package(package)
        self._take_away()

    def _package(self, package: Unpacked) -> None:
        twin = self.twin
        (control,) = parse(package.control)
        digests = md5sums(package.kept().get("md5sums", Path("/nonexistent")))
        placed: dict[str, str] = {}
        for entry in package.entries:
            if not entry.path:
                continue
            place = twin.root.canonical(self._moved.place(f"/{entry.path}", control["Package"]))
            self.claimed.add(place)
            before = twin.before(place)
            if entry.kind is Kind.FOLDER:
                self._folder(entry, place, before)
                continue
            placed[entry.path] = place
            wanted: str | None = None
            if entry.kind is not Kind.LINK:
                first = entry.link if entry.kind is Kind.HARD else entry.path
                wanted = digests.get(entry.path) or digests.get(first) or md5(package.file(entry.path))
            self._file(package, entry, place, before, wanted, placed)

    def _file(
        self, package: Unpacked, entry: Entry, place: str, before: str, wanted: str | None, placed: Mapping[str, str]
    ) -> None:
        root = self.twin.root
        if wanted is not None:
            self.digests[place] = wanted
        old = root.path(before)
        had = self.twin.owned.get(before)
        if had is None and before in self.twin.common:
            return  # A package of all architectures has taken it over.
        there = lstat(old)
        if had is not None and there is not None and had.digest == wanted is not None and stat.S_ISREG(there.st_mode):
            content: str | None = wanted  # What is the same in both packages needs no look, whoever has changed it.
        else:
            content = _content(old, there)
        action = decide(entry, wanted, had, there, content)
        if action is Action.TAKE and had is None and (self._excluded(place) or not self._has_folder(place)):
            return
        if action is Action.KEEP and before != place:
            self._parents(place)
            old.rename(root.path(place))
        elif action is Action.TAKE:
            twin_of = root.path(placed[entry.link]) if entry.kind is Kind.HARD and entry.link in placed else None
            linked = twin_of if twin_of is not None and placed[entry.link] in self.taken else None
            self._parents(place)
            self._put(package, entry, root.path(place), old if there else None, there, linked)
            if before != place and there:
                old.unlink()
            self.taken[place] = package.file(entry.path)

    def _put(
        self, package: Unpacked, entry: Entry, place: Path, like: Path | None, there: os.stat_result | None,
        linked: Path | None,
    ) -> None:  # fmt: skip
        """Put a file or link of a package beside its place and rename it there, as the twin's was in all else."""
        beside = place.with_name(TEMPORARY)
        if linked is not None:
            os.link(linked, beside)
            beside.replace(place)
            return
        if entry.kind is Kind.LINK:
            beside.symlink_to(entry.link)
        else:
            shutil.copyfile(package.file(entry.path), beside)
        same = there is not None and like is not None and stat.S_IFMT(there.st_mode) == _kind(beside)
        self._own(beside, entry, there if same else None)
        if entry.kind is not Kind.LINK:
            if same and like is not None:
                _copy_attributes(like, beside)
            beside.chmod(stat.S_IMODE(there.st_mode) if same and there is not None else entry.mode)
        os.utime(beside, (entry.mtime, entry.mtime), follow_symlinks=False)
        beside.replace(place)

    def _own(self, path: Path, entry: Entry, like: os.stat_result | None) -> None:
        user = like.st_uid if like else self._users.get(entry.user, _number(entry.user))
        group = like.st_gid if like else self._groups.get(entry.group, _number(entry.group))
        now = path.lstat()
        if (now.st_uid, now.st_gid) != (user, group):
            os.chown(path, user, group, follow_symlinks=False)

    def _folder(self, entry: Entry, place: str, before: str) -> None:
        path = self.twin.root.path(place)
        if lstat(path) is not None:
            return
        like = lstat(self.twin.root.path(before))
        if like is None and (before in self.twin.owned or self._excluded(place) or not self._has_folder(place)):
            return
        path.mkdir()
        self._own(path, entry, like)
        path.chmod(stat.S_IMODE(like.st_mode) if like else entry.mode)
        if like is not None:
            _copy_attributes(self.twin.root.path(before), path)

    def _has_folder(self, place: str) -> bool:
        """Whether the folder of a path is there, or is one that only the target has."""
        parent = place.rpartition("/")[0]
        return self.twin.root.path(parent).is_dir() if parent else True

    def _parents(self, place: str) -> None:
        """Make the folders of a path, as those that it had in the twin."""
        parent = place.rpartition("/")[0]
        path = self.twin.root.path(parent)
        if not parent or path.is_dir():
            return
        self._parents(parent)
        like = lstat(self.twin.root.path(self.twin.before(parent)))
        path.mkdir()
        path.chmod(stat.S_IMODE(like.st_mode) if like else 0o755)

    def _excluded(self, place: str) -> bool:
        """Whether dpkg would not unpack a path (dpkg(1), --path-exclude): the last rule that fits counts."""
        verdict = False
        for excluded, pattern in self._filters:
            if fnmatchcase(f"/{place}", pattern):
                verdict = excluded
        return verdict

    def _take_away(self) -> None:
        """Remove what only the twin's packages have; of folders, those that are empty then."""
        folders: list[str] = []
        for place in self.twin.owned:
            if not place or place in self.claimed or place in self.twin.common:
                continue
            path = self.twin.root.path(place)
            there = lstat(path)
            if there is not None and stat.S_ISDIR(there.st_mode):
                folders.append(place)
            elif there is not None:
                path.unlink()
        for place in sorted(folders, key=len, reverse=True):
            path = self.twin.root.path(place)
            if not any(path.iterdir()):
                path.rmdir()


def filters(folder: Path) -> list[tuple[bool, str]]:
    """The patterns of a tree's dpkg, in order; True for those of paths that are not unpacked."""
    found: list[tuple[bool, str]] = []
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        for line in file.read_text().splitlines():
            option, _, pattern = line.strip().partition("=")
            if option in ("path-exclude", "path-include"):
                found.append((option == "path-exclude", pattern.strip()))
    return found


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of users or groups by their names."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {words[0]: int(words[2]) for line in lines if len(words := line.split(":")) > 2 and words[2].isdecimal()}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def lstat(path: Path) -> os.stat_result | None:
    """What lies at a path, links not followed; None if nothing does."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kind(path: Path) -> int:
    return stat.S_IFMT(path.lstat().st_mode)


def _content(path: Path, there: os.stat_result | None) -> str | None:
    if there is None:
        return None
    if stat.S_ISLNK(there.st_mode):
        return str(path.readlink())
    return md5(path) if stat.S_ISREG(there.st_mode) else None


def _copy_attributes(like: Path, path: Path) -> None:
    for name in os.listxattr(like, follow_symlinks=False):
        if not name.startswith(NOT_OURS):
            os.setxattr(path, name, os.getxattr(like, name, follow_symlinks=False), follow_symlinks=False)
