"""One app of a recipe made again and again, for `ovenbird dev`: as for an image, without the rest of the image.

Nothing goes through the store, which keeps what comes back: a program under development does not. What a save leaves
alone is not made anew all the same: a Python app's libraries are kept as they were installed, Go and uv have caches.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ovenbird.build.apps import step
from ovenbird.build.apps.kind import Target, Workshop, source_files
from ovenbird.build.inputs import folder_files
from ovenbird.build.job import Request, plan_for
from ovenbird.build.store import cache_folder
from ovenbird.errors import BuildError, UsageError
from ovenbird.progress import Progress
from ovenbird.recipe.app import App
from ovenbird.recipe.model import Recipe
from ovenbird.recipe.problems import did_you_mean

LIBRARY = "ovenbird_device"
"""The link to the device's own library: the device makes it itself, as nothing that it takes may lead out."""
Stamp = tuple[tuple[str, int, int, int], ...]
"""Every watched file with its size, time of change and number."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A program as it is sent."""

    archive: Path
    digest: str
    files: int


@dataclass(frozen=True, slots=True)
class Workbench:
    """Where an app is made. `scratch` is a folder of the session's own."""

    app: App
    target: Target
    scratch: Path

    @classmethod
    def of(cls, recipe: Path, name: str, scratch: Path, progress: Progress) -> Self:
        """For an app of a recipe. Raises UsageError for one that there is not, or whose recipe does not allow it."""
        plan, _ = plan_for(Request(recipe), progress)
        return cls(chosen(plan.loaded.recipe, name), plan.target, scratch)

    def stamp(self) -> Stamp:
        """How the files are that the app is made of; another stamp means that one was saved."""
        found: list[tuple[str, int, int, int]] = []
        for path in self._watched():
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue  # an editor is about to replace it
            found.append((str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino))
        return tuple(sorted(found))

    def make(self, on_line: Callable[[str], None] | None = None) -> Packed:
        """Make the program, and pack it. Raises OvenbirdError."""
        folder = self.scratch / "app"
        for old in (folder, self.scratch / "work"):
            shutil.rmtree(old, ignore_errors=True)
        program = folder / "program"
        program.mkdir(parents=True)
        work = self.scratch / "work"
        work.mkdir()
        step.make_app(
            self.app, self.target, folder, Workshop(program, work, cache_folder(), on_line, self.scratch / "kept")
        )
        return pack(self.app, program, self.scratch / "program.tar")

    def _watched(self) -> list[Path]:
        app = self.app
        source = Path(app.source)
        found: list[Path] = []
        if app.source.startswith("/"):
            found += source_files(source).values() if source.is_dir() else [source]
        if app.requirements is not None:
            found.append(app.requirements)
        for text in app.files.values():
            file = Path(text)
            found += folder_files(file).values() if file.is_dir() else [file]
        return found


def chosen(recipe: Recipe, name: str) -> App:
    """The app of this name, if its recipe lets it be replaced. Raises UsageError."""
    app = next((one for one in recipe.app if one.name == name), None)
    if app is None:
        hint = did_you_mean(name, [one.name for one in recipe.app], otherwise="there are")
        raise UsageError(f'the recipe has no app "{name}"', hint=hint)
    if app.kind == "container":
        raise UsageError(
            f"{name} is a container, and only programs can be replaced",
            hint="`python`, `go` and `binary` are; or run it with podman on this machine",
        )
    if not app.development:
        raise UsageError(
            f"the recipe does not let {name} be replaced",
            hint="write `development = true` in its [[app]], and give the device that image",
        )
    return app


def pack(app: App, program: Path, archive: Path) -> Packed:
    """Write a program's folder as an archive that a device takes. Raises BuildError for what it does not take."""
    names = sorted(path.relative_to(program).as_posix() for path in _everything(program))
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = program / name
            if name == LIBRARY and path.is_symlink():
                continue
            entry = tar.gettarinfo(str(path), name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            if entry.islnk():  # The same file twice: a device takes it twice.
                entry.type, entry.size = tarfile.REGTYPE, path.stat().st_size
            try:
                if entry.isreg():
                    with path.open("rb") as content:
                        tar.addfile(entry, content)
                else:
                    tar.addfile(entry)
            except ValueError as error:
                raise BuildError(f"{name} cannot be sent: {error}", where=f"app {app.name}") from error
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Packed(archive, digest, len(names))


def _everything(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        found += [Path(place, name) for name in (*folders, *files)]
    return found
