"""Two trees path by path: all that a running system could notice, and which differences are explained."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

# What a twin may have otherwise than a tree that was really installed for the target; docs/cross.md says why.
EXPLAINED = {
    "var/lib/dpkg/diversions": "base-files diverts /lib64 on architectures that have none",
    "var/lib/dpkg/triggers/File": "lines in the order of installation",
    "usr/lib/ovenbird/image.json": "the digest of the recipe, which says that it is emulated",
}
RANDOM = ("etc/ssl/certs/ssl-cert-*", "etc/ssl/private/ssl-cert-*", "etc/*_key*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One path: its kind and rights, owner and group, attributes, how many names it has, and its content or link."""

    mode: int
    owner: tuple[int, int]
    attributes: tuple[tuple[str, bytes], ...]
    links: int
    content: str


def read_tree(folder: Path) -> dict[str, Entry]:
    """All paths of a tree; needs the right to read them."""
    found: dict[str, Entry] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            status = path.lstat()
            content = ""
            if path.is_symlink():
                content = str(path.readlink())
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            names = sorted(os.listxattr(path, follow_symlinks=False))
            attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
            links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
            owner = (status.st_uid, status.st_gid)
            found[str(path.relative_to(folder))] = Entry(status.st_mode, owner, attributes, links, content)
    return found


def unpack(image: Path, folder: Path) -> dict[str, Entry]:
    """The same of a root image."""
    subprocess.run(["unsquashfs", "-q", "-n", "-d", folder, image], check=True, capture_output=True)
    return read_tree(folder)


def differences(one: dict[str, Entry], two: dict[str, Entry]) -> list[str]:
    """What is not the same and not explained: a line each."""
    lines = [f"{path}: only in the first" for path in sorted(one.keys() - two.keys())]
    lines += [f"{path}: only in the second" for path in sorted(two.keys() - one.keys())]
    for path in sorted(one.keys() & two.keys()):
        first, second = one[path], two[path]
        parts = [
            name
            for name in ("mode", "owner", "attributes", "links", "content")
            if getattr(first, name) != getattr(second, name)
        ]
        explained = path in EXPLAINED or any(fnmatchcase(path, pattern) for pattern in RANDOM)
        if parts and not (explained and parts == ["content"]):
            lines.append(f"{path}: {', '.join(parts)}")
    return lines
