"""What no package owns, after a graft: paths and links with the host's name in them get the target's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ovenbird.build.cross.dpkg import Names
from ovenbird.build.cross.owned import Graft, lstat

VIRTUAL = ("proc", "sys", "dev", "run")
"""What is not part of a tree."""


def translate_rest(graft: Graft) -> None:
    """Give what no package owns the target's names: paths and links that have the host's."""
    twin, names = graft.twin, graft.twin.names
    packaged = graft.claimed | twin.common
    for folder, entry in list(_walk(twin.root.folder)):
        place = f"{folder}/{entry}".lstrip("/")
        path = twin.root.folder / place
        if place in packaged or lstat(path) is None:
            continue
        if path.is_symlink():
            link = str(path.readlink())
            if names.shows(link):
                there = path.lstat()
                path.unlink()
                path.symlink_to(names.path(link))
                os.chown(path, there.st_uid, there.st_gid, follow_symlinks=False)
        if names.shows(entry):
            _move(path, path.with_name(names.path(entry)))
    _loaders(twin.root.folder, names)


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, str]]:
    """All that is below a folder, each as its folder and its name, what is in a folder after the folder itself."""
    with os.scandir(folder / below) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if not below and entry.name in VIRTUAL:
            continue
        yield below, entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder, f"{below}/{entry.name}".lstrip("/"))


def _move(path: Path, to: Path) -> None:
    """Move a file or a whole folder; what is there already stays."""
    if path.is_dir() and not path.is_symlink():
        if not to.exists():
            to.mkdir()
            there = path.lstat()
            os.chown(to, there.st_uid, there.st_gid)
            to.chmod(stat.S_IMODE(there.st_mode))
        for inner in sorted(path.iterdir()):
            _move(inner, to / inner.name)
        path.rmdir()
    elif lstat(to) is None:
        path.rename(to)
    else:
        path.unlink()


def _loaders(folder: Path, names: Names) -> None:
    """Lists of plug-ins that packages' scripts write, with the plug-ins' paths in them."""
    for file in (folder / "usr/lib" / names.target.facts.triplet).glob("**/*.cache"):
        if file.is_file() and not file.is_symlink():
            text = file.read_bytes()
            if b"\0" not in text and names.shows(text.decode("utf-8", "replace")):
                there = file.stat()
                file.write_bytes(names.path(text.decode()).encode())
                os.utime(file, (there.st_mtime, there.st_mtime))
