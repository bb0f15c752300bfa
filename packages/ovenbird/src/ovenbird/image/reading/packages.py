"""What the packages of a Debian tree really take in an image, after documentation and translations have gone.

Format: dpkg(1), `/var/lib/dpkg/info/NAME[:ARCH].list` (one path a line).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ovenbird.image import packages
from ovenbird.image.packages import Installed
from ovenbird.image.reading.squashfs import Kind, Tree

STATUS = f"/{packages.STATUS}"
INFO = "/var/lib/dpkg/info/"


def needed(path: str) -> bool:
    """Whether the content of a path is needed here."""
    return path == STATUS or (path.startswith(INFO) and path.endswith(".list"))


def installed(tree: Tree) -> tuple[Installed, ...]:
    """The packages of a tree, sorted; `size` is what their files take in it, in bytes. No file counts twice."""
    status = tree.contents.get(STATUS, b"").decode("utf-8", "replace")
    tops = {path: entry.target for path, entry in tree.entries.items() if entry.kind is Kind.LINK}
    counted: set[str] = set()
    found: list[Installed] = []
    for package in sorted(packages.parse_status(status)):
        paths = {_real(path, tops) for path in _owned(package, tree.contents)} - counted
        counted |= paths
        size = sum(entry.size for path in paths if (entry := tree.entries.get(path)) and not entry.same_as)
        found.append(msgspec.structs.replace(package, size=size))
    return tuple(found)


def _owned(package: Installed, contents: Mapping[str, bytes]) -> list[str]:
    for name in (package.name, f"{package.name}:{package.architecture}"):
        listing = contents.get(f"{INFO}{name}.list")
        if listing is not None:
            return listing.decode("utf-8", "surrogateescape").splitlines()
    return []


def _real(path: str, links: Mapping[str, str]) -> str:
    """A package's path without the links at the tree's top: its `/lib` is the tree's `/usr/lib`."""
    top, slash, rest = path.removeprefix("/").partition("/")
    target = links.get(f"/{top}") if slash else None
    return f"/{target.strip('/')}/{rest}" if target else path
