"""Go programs: cross-compiled without C, from a module on this machine or by a module's path and version.

Tag `ovenbird` is set, so that a program can have files for the device alone. The bytes depend on the sources, on Go's
version and on what the recipe says: no paths, no times, nothing of this machine's settings.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ovenbird.build.apps.kind import Target, Workshop, build_error, source_files
from ovenbird.build.inputs import file_digest
from ovenbird.errors import BuildError
from ovenbird.host import find_tool
from ovenbird.recipe.app import App
from ovenbird.recipe.app_reading import go_module
from ovenbird.run import CommandError, run
from ovenbird_device.format import apps

ARCHITECTURES: dict[str, dict[str, str]] = {
    "amd64": {"GOARCH": "amd64"},
    "arm64": {"GOARCH": "arm64"},
    "armhf": {"GOARCH": "arm", "GOARM": "7"},
    "i386": {"GOARCH": "386"},
    "riscv64": {"GOARCH": "riscv64"},
}
FLAGS = ("-trimpath", "-buildvcs=false", "-tags=ovenbird")
STRIPPED = "-ldflags=-s -w -buildid="
_REPLACED = re.compile(r"^(?:replace\s+)?\S+(?:\s+v\S+)?\s+=>\s+(\.\.?/\S*|/\S*)\s*$", re.MULTILINE)
# What Go 1.21 and newer say at once, and older ones only beside the errors of what they could not compile.
_NEWER = re.compile(r"requires go >= (\S+) \(running go (\S+);|module requires Go (\S+)")


class Go:
    """A Go program."""

    packages: tuple[str, ...] = ()

    def tools(self, app: App) -> tuple[str, ...]:
        """As `Kind.tools`."""
        return ("go",)

    def inputs(self, app: App, target: Target) -> dict[str, str]:
        """As `Kind.inputs`."""
        found = {
            "go": app.source if not app.source.startswith("/") else _inside(app),
            "flags": " ".join((*FLAGS, STRIPPED, *app.build_flags)),
            **{f"build environment {name}": value for name, value in app.build_environment.items()},
            "architecture": target.architecture,
        }
        for place, folder in _modules(app).items():
            found |= {f"file {place}{name}": file_digest(path) for name, path in source_files(folder).items()}
        return found

    def make(self, app: App, target: Target, workshop: Workshop) -> None:
        """As `Kind.make`."""
        program = workshop.program / app.name
        local = app.source.startswith("/")
        path = workshop.scratch / "go"
        environment = {
            **_caches(path, workshop.cache),
            **ARCHITECTURES[target.architecture],
            "GOOS": "linux",
            "CGO_ENABLED": "0",
            "GOFLAGS": "-modcacherw",
            "GOWORK": "off",
            "GOTOOLCHAIN": "local",
            **app.build_environment,
        }
        flags = [*FLAGS, *(() if any(f.startswith("-ldflags") for f in app.build_flags) else (STRIPPED,))]
        words = ["build", "-o", program] if local else ["install"]
        # The user's own choice among several, which is also the one whose version is part of the key.
        go = find_tool("go") or "go"
        try:
            run(
                [go, *words, *flags, *app.build_flags, "." if local else app.source],
                cwd=Path(app.source) if local else workshop.scratch,
                env=environment,
                on_line=workshop.on_line,
                what=f"go {words[0]}",
            )
        except CommandError as error:
            raise build_error(app, error, _hint(error, local)) from error
        if not local:
            _take(path / "bin", program, app)
        with program.open("rb") as stream:
            if stream.read(4) != b"\x7fELF":
                raise BuildError("is a library, not a program", where=app.source, hint="name a package `main`")
        program.chmod(0o755)

    def command(self, app: App) -> tuple[str, ...]:
        """As `Kind.command`."""
        return (f"{apps.program_folder(app.name)}/{app.name}",)

    def environment(self, app: App) -> dict[str, str]:
        """As `Kind.environment`."""
        return {}


def _inside(app: App) -> str:
    """Where in its module a package is: not where the module is on this machine."""
    module = go_module(Path(app.source))
    return "." if module is None else str(Path(app.source).relative_to(module))


def _modules(app: App) -> dict[str, Path]:
    """The folders of the app's module and of those on this machine that take the place of others in it."""
    if not app.source.startswith("/"):
        return {}
    module = go_module(Path(app.source))
    if module is None:
        return {}
    found = {"": module}
    for place in _REPLACED.findall((module / "go.mod").read_text(encoding="utf-8", errors="replace")):
        folder = Path(os.path.normpath(module / place))
        if folder.is_dir():
            found[f"{place.rstrip('/')}/"] = folder
    return found


def _caches(path: Path, cache: Path) -> dict[str, str]:
    """Go's folders: what it downloads and compiles is kept beside the store, what it installs goes into `path`."""
    return {
        "GOPATH": str(path),
        "GOMODCACHE": str(cache / "go/modules"),
        "GOCACHE": str(cache / "go/compiled"),
    }


def _take(folder: Path, program: Path, app: App) -> None:
    """Move what `go install` has made; for another architecture it is in a folder of its own."""
    made = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    if len(made) != 1:
        raise BuildError("is a library, not a program", where=app.source, hint="name a package `main`")
    shutil.move(made[0], program)


def _hint(error: CommandError, local: bool) -> str | None:
    said = error.completed.stderr + error.completed.stdout
    if newer := _NEWER.search(said):
        here = f"and here is {newer[2]}" if newer[2] else "and here is an older one"
        return f"it needs Go {newer[1] or newer[3]}, {here}: install a newer one from https://go.dev/dl/"
    if "missing go.sum entry" in said or "updates to go.mod needed" in said:
        return "run `go mod tidy` in its folder"
    if "cgo" in said.lower() or "build constraints exclude all Go files" in said:
        return "programs are built without C: there may be a package that does the same in Go alone"
    if not local and any(
        word in said for word in ("unknown revision", "404 Not", "403 Forb", "410 Gone", "no matching v")
    ):
        return "look whether the module has this version"
    return None
