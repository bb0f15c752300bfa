"""Paths of a tree that is not mounted as the root: links are followed inside of it, never out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_LINKS = 40  # How many links a path may lead through, as in the kernel.


@dataclass(frozen=True, slots=True)
class Rooted:
    """A tree below a folder. Paths in it are written with or without their first slash."""

    folder: Path
    _folders: dict[str, str] = field(default_factory=dict[str, str])

    def path(self, name: str) -> Path:
        """Where a path of the tree is on this machine: all links followed but for the last name."""
        parent, _, last = name.strip("/").rpartition("/")
        return self.folder / self.real(parent) / last if parent else self.folder / last

    def resolve(self, name: str) -> str:
        """The same with the last name followed too."""
        return str(self.folder / self._walk(name, _LINKS))

    def real(self, folder: str) -> str:
        """A folder of the tree by its own name, without links and slashes around it; remembered."""
        name = folder.strip("/")
        found = self._folders.get(name)
        if found is None:
            found = self._folders[name] = self._walk(name, _LINKS)
        return found

    def canonical(self, name: str) -> str:
        """A path with the links of its folders followed, without slashes around it: `lib/x` is `usr/lib/x`."""
        parent, _, last = name.strip("/").rpartition("/")
        return f"{self.real(parent)}/{last}".lstrip("/") if parent else last

    def _walk(self, name: str, links: int) -> str:
        parts: list[str] = []
        for part in name.strip("/").split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                parts = parts[:-1]
                continue
            try:
                target = str((self.folder / "/".join([*parts, part])).readlink())
            except OSError:
                parts.append(part)
                continue
            if not links:
                return "/".join([*parts, part])
            inner = target if target.startswith("/") else "/".join([*parts, target])
            parts = [word for word in self._walk(inner, links - 1).split("/") if word]
        return "/".join(parts)
