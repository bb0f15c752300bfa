"""Python programs: a project or a requirement, installed by uv for the device's architecture and Python.

Libraries come as wheels only, so nothing of the target is run and nothing is compiled for the wrong machine. A project
with a `pyproject.toml` becomes a wheel itself first; a plain folder is copied. Python's compiled files are not made
here, where another version of Python may run, but in the tree, by its own.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from dataclasses import replace
from importlib.metadata import Distribution
from pathlib import Path

from ovenbird.build import wheels
from ovenbird.build.apps.kind import Target, Workshop, build_error, source_files
from ovenbird.build.inputs import file_digest
from ovenbird.errors import BuildError
from ovenbird.recipe.app import App
from ovenbird.recipe.app_reading import main_script
from ovenbird.recipe.problems import did_you_mean
from ovenbird.run import CommandError, run
from ovenbird_device.format import apps

START = "__start__.py"
DEVICE_LIBRARY = "/usr/lib/ovenbird/ovenbird_device"
PYTHON = "/usr/bin/python3"


class Python:
    """A Python program."""

    packages: tuple[str, ...] = ()

    def tools(self, app: App) -> tuple[str, ...]:
        """As `Kind.tools`."""
        return ("uv",)

    def inputs(self, app: App, target: Target) -> dict[str, str]:
        """As `Kind.inputs`."""
        found = {
            "start": " ".join(str(way) for way in (app.entry, app.module, app.script)),
            "architecture": target.architecture,
            "release": target.release,
            "python": target.python,
        }
        if (folder := _folder(app)) is None:
            found["requirement"] = app.source
        else:
            found |= {f"file {name}": file_digest(path) for name, path in source_files(folder).items()}
        if app.requirements is not None:
            found["file requirements"] = file_digest(app.requirements)
        return found

    def make(self, app: App, target: Target, workshop: Workshop) -> None:
        """As `Kind.make`."""
        folder = _folder(app)
        own = ""
        if folder is None:
            own = re.split(r"[\[\s=<>~!@;(]", app.source, maxsplit=1)[0]
            self._install(app, target, workshop, _locked(app.requirements) or [app.source])
        elif (folder / "pyproject.toml").is_file():
            wheel = _wheel(app, folder, workshop)
            own = wheel.name.split("-")[0]
            self._install(app, target, workshop, [*_lock(app, workshop), wheel])
        else:
            plain = folder / "requirements.txt"
            wanted = _locked(app.requirements) or (["--requirement", plain] if plain.is_file() else [])
            if wanted and workshop.kept is not None:
                self._install_once(app, target, workshop, wanted)
            elif wanted:
                self._install(app, target, workshop, wanted)
            _copy(folder, workshop.program)
        library = workshop.program / "ovenbird_device"
        if not library.exists():
            library.symlink_to(DEVICE_LIBRARY)
        self._start(app, own, workshop.program)

    def _install(self, app: App, target: Target, workshop: Workshop, wanted: list[str | Path]) -> None:
        platform = wheels.platform(target.architecture, wheels.GLIBC[target.release])
        if platform is None:
            raise BuildError(f"there are no wheels for {target.architecture}", where=f"app {app.name}")
        try:
            wheels.install(
                workshop.program,
                wanted,
                platform=platform,
                python=target.python,
                what="the installation by uv",
                on_line=workshop.on_line,
            )
        except CommandError as error:
            raise build_error(app, error, _hint(error, target)) from error

    def _install_once(self, app: App, target: Target, workshop: Workshop, wanted: list[str | Path]) -> None:
        """The same from what was kept, as long as the same is wanted."""
        assert workshop.kept is not None
        words = [file_digest(word) if isinstance(word, Path) else word for word in wanted]
        kept = workshop.kept / hashlib.sha256("\0".join(words).encode()).hexdigest()
        if not kept.is_dir():
            beside = workshop.scratch / "libraries"
            beside.mkdir()
            self._install(app, target, replace(workshop, program=beside), wanted)
            kept.parent.mkdir(exist_ok=True)
            beside.rename(kept)
        shutil.copytree(kept, workshop.program, symlinks=True, dirs_exist_ok=True)

    def _start(self, app: App, own: str, program: Path) -> None:
        """Write what starts the program, where it is a function; see that what was asked for is there."""
        entry = app.entry
        if app.module is not None:
            _check_module(app, app.module, program)
        elif entry is None and plain_script(app) is None:
            entry = _command(app, own, program)
        if entry is None:
            return
        module, _, function = entry.partition(":")
        _check_module(app, module, program)
        first, *rest = function.split(".")
        call = ".".join(["_main", *rest])
        text = f'"""Starts {app.name}."""\nimport sys\nfrom {module} import {first} as _main\n\nsys.exit({call}())\n'
        (program / START).write_text(text)

    def command(self, app: App) -> tuple[str, ...]:
        """As `Kind.command`. `-P` and `-s`: modules come from the app's folder and Python's own, from nowhere else."""
        python = (PYTHON, "-s", "-P")
        if app.module is not None:
            return (*python, "-m", app.module)
        return (*python, f"{apps.program_folder(app.name)}/{plain_script(app) or START}")

    def environment(self, app: App) -> dict[str, str]:
        """As `Kind.environment`."""
        return {
            "PYTHONPATH": apps.program_folder(app.name),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }


def _folder(app: App) -> Path | None:
    return Path(app.source) if app.source.startswith("/") else None


def plain_script(app: App) -> str | None:
    """The file of a plain folder that is the program; None where a command or a function is."""
    folder = _folder(app)
    if app.entry is not None or folder is None or (folder / "pyproject.toml").is_file():
        return None
    if app.script is not None:
        return app.script if (folder / app.script).is_file() else None
    return main_script(folder)


def _copy(folder: Path, target: Path) -> None:
    for name, source in source_files(folder).items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, file, follow_symlinks=False)


def _wheel(app: App, folder: Path, workshop: Workshop) -> Path:
    """A project's own wheel, built from a copy: some build tools write into the folder that they build."""
    project, made = workshop.scratch / "project", workshop.scratch / "wheel"
    _copy(folder, project)
    try:
        run(
            [
                wheels.uv(), "build", "--wheel", "--no-config", "--python", sys.executable,
                "--out-dir", made, project,
            ],
            env={"SOURCE_DATE_EPOCH": "315532800"},  # 1980, the first year that a wheel can hold.
            on_line=workshop.on_line,
            what="the build of its wheel",
        )  # fmt: skip
    except CommandError as error:
        raise build_error(app, error) from error
    wheel = next(made.glob("*.whl"))
    if not wheel.name.endswith("-none-any.whl"):
        raise BuildError(
            "the project has parts that are compiled for this machine",
            where=f"app {app.name}",
            hint="build them for the device elsewhere, and name their wheels in its requirements",
        )
    return wheel


def _locked(requirements: Path | None) -> list[str | Path]:
    """uv's words for a file that has every library."""
    return ["--no-deps", "--requirement", requirements] if requirements is not None else []


def _lock(app: App, workshop: Workshop) -> list[str | Path]:
    """uv's words for the libraries that a project has locked; none if it has not."""
    project, exported = workshop.scratch / "project", workshop.scratch / "requirements.lock"
    if app.requirements is not None or not (project / "uv.lock").is_file():
        return _locked(app.requirements)
    try:
        run(
            [
                wheels.uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-config",
                "--python", sys.executable, "--project", project, "--output-file", exported,
            ],
            what="the export of uv.lock",
        )  # fmt: skip
    except CommandError as error:
        raise build_error(app, error) from error
    return _locked(exported)


def commands(program: Path) -> dict[str, dict[str, str]]:
    """The commands that each installed distribution brings: name -> function, by the distribution's plain name."""
    found: dict[str, dict[str, str]] = {}
    for info in sorted(program.glob("*.dist-info")):
        brought = Distribution.at(info).entry_points.select(group="console_scripts")
        # A function may be followed by the extras that it needs, which nobody has used for years.
        found[_plain(info.name.split("-")[0])] = {one.name: one.value.split("[")[0].strip() for one in brought}
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _command(app: App, own: str, program: Path) -> str:
    """The function behind the command that is to be run. Raises BuildError where there is none, or a choice."""
    installed = commands(program)
    every = {name: function for listed in installed.values() for name, function in listed.items()}
    where = f"app {app.name}"
    if app.script is not None:
        if app.script in every:
            return every[app.script]
        raise BuildError(f'there is no command "{app.script}" in it', where=where, hint=did_you_mean(app.script, every))
    mine = installed.get(_plain(own), {})
    if len(mine) == 1:
        return next(iter(mine.values()))
    if not mine:
        raise BuildError(
            f"{own} installs no command that could be run", where=where, hint="write `module` or `entry`, too"
        )
    raise BuildError(
        f"{own} installs {len(mine)} commands", where=where, hint=f"write `script`, one of {', '.join(sorted(mine))}"
    )


def _check_module(app: App, module: str, program: Path) -> None:
    """Raise BuildError for a module that is neither in the program's folder nor Python's own."""
    first = module.split(".")[0]
    if first in sys.stdlib_module_names:
        return
    path = program.joinpath(*module.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file() or any(path.parent.glob(f"{path.name}.*.so")):
        return
    near = [entry.stem for entry in program.iterdir() if entry.is_dir() or entry.suffix == ".py"]
    hint = did_you_mean(module, [name for name in near if name.isidentifier() and not name.startswith("__")])
    raise BuildError(f'there is no module "{module}" in it', where=f"app {app.name}", hint=hint)


def _hint(error: CommandError, target: Target) -> str | None:
    said = error.completed.stderr
    if "no usable wheels" in said or "no wheels with a matching" in said or "building from source is disabled" in said:
        return f"libraries must have a wheel for {target.architecture} and Python {target.python}"
    if "not found in the package registry" in said or "was not found" in said:
        return "look at its spelling"
    if "Failed to fetch" in said or "dns error" in said or "error sending request" in said:
        return "look at the network, and run the same command again"
    return None
