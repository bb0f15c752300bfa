"""What a kind of app is to the build: a module that implements `Kind`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ovenbird.build.inputs import folder_files
from ovenbird.errors import BuildError
from ovenbird.recipe.app import App
from ovenbird.run import CommandError

Lines = Callable[[str], None]
_NOT_SOURCE = frozenset({"venv", "out", "dist", "node_modules"})
"""Folders at the top of a project that hold what tools have made."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that an app is made for."""

    architecture: str
    release: str
    python: str
    """Version of the target's Python: "3.13"."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where an app is made: the folder to fill, one for half-made things, the cache, and who hears of progress."""

    program: Path
    """Becomes `/usr/lib/ovenbird-apps/NAME`."""
    scratch: Path
    cache: Path
    on_line: Lines | None = None
    kept: Path | None = None
    """Where what was installed for an app that is made again and again stays as it is."""


class Kind(Protocol):
    """One kind of app."""

    packages: tuple[str, ...]
    """Packages of the distribution that such an app needs."""

    def tools(self, app: App) -> Sequence[str]:
        """Programs of this machine that make it."""
        ...

    def inputs(self, app: App, target: Target) -> dict[str, str]:
        """What goes into it, by names that a person understands."""
        ...

    def make(self, app: App, target: Target, workshop: Workshop) -> None:
        """Fill the program's folder. Raises OvenbirdError."""
        ...

    def command(self, app: App) -> tuple[str, ...]:
        """The program's words on the device, without the app's own arguments; empty for a container."""
        ...

    def environment(self, app: App) -> dict[str, str]:
        """What such a program finds in its environment beside what the recipe says."""
        ...


def source_files(folder: Path) -> dict[str, Path]:
    """A project's own files by their relative path: none that begin with a dot, none that tools have made."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name == "__pycache__" or entry.name.endswith(".egg-info"):
            continue
        if entry.is_symlink() or not entry.is_dir():
            found[entry.name] = entry
        elif entry.name not in _NOT_SOURCE and not (entry / "pyvenv.cfg").exists():
            found |= {f"{entry.name}/{name}": path for name, path in folder_files(entry).items()}
    return found


def build_error(app: App, error: CommandError, hint: str | None = None) -> BuildError:
    """The one error for an app that does not build, with its tool's own words."""
    return BuildError(error.message, where=f"app {app.name}", hint=hint)
