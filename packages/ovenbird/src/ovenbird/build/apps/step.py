"""The apps in the plan: each is a step of its own, which makes its program's folder in the store; `tree` takes them in.

    steps/app/KEY/program/   becomes /usr/lib/ovenbird-apps/NAME
    steps/app/KEY/files/     goes over the root of the tree: what the recipe adds elsewhere

Units, users and the list of apps are small texts of the recipe, and belong to the tree's own files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovenbird.build.apps import unit
from ovenbird.build.apps.binary import Binary
from ovenbird.build.apps.container import Container, image_name
from ovenbird.build.apps.go import Go
from ovenbird.build.apps.kind import Kind, Target, Workshop
from ovenbird.build.apps.python import Python
from ovenbird.build.context import check_machine, settle
from ovenbird.build.inputs import file_digest, folder_files
from ovenbird.errors import BuildError
from ovenbird.recipe.app import App, own_user
from ovenbird.recipe.model import Recipe
from ovenbird.run import CommandError
from ovenbird_device.format import apps

KINDS: dict[apps.Kind, Kind] = {"python": Python(), "go": Go(), "binary": Binary(), "container": Container()}
SCRIPTS = ("app-state", "app-clock", "app-image")
REMEMBERING = "usr/lib/systemd/system/multi-user.target.d/ovenbird-apps.conf"
STORAGE = """\
# The containers of the apps are on data: the root is read-only.
[storage]
driver = "overlay"
graphroot = "/data/containers/storage"
runroot = "/run/containers/storage"
"""
_COMPLAINT = re.compile(r"^(app [a-z0-9-]+): (there is no (?:user|group) \"\S+\" in the image)$", re.MULTILINE)
EPOCH = 0  # Times in the store are fixed; the tree gives its files the build's own.


def step_name(app: App) -> str:
    """What an app's step is called."""
    return f"app {app.name}"


def packages(listed: Sequence[App]) -> list[str]:
    """Packages of the distribution that the apps need."""
    return [package for app in listed for package in KINDS[app.kind].packages]


def app_inputs(app: App, target: Target) -> dict[str, str]:
    """What goes into an app's folder. Its unit is not among it: another argument makes no new program."""
    added = {f"file {name}": file_digest(path) for name, path in _added(app).items()}
    return {"name": app.name, **KINDS[app.kind].inputs(app, target), **added}


def make_app(app: App, target: Target, folder: Path, workshop: Workshop) -> None:
    """Make an app's folder: `program` and `files`. Raises OvenbirdError with the app's name or file."""
    KINDS[app.kind].make(app, target, workshop)
    for name, source in _added(app).items():
        check_machine(source, target.architecture)
        place = folder / "files" / name[1:] if name.startswith("/") else workshop.program / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        shutil.copy(source, place, follow_symlinks=False)
    settle(folder, EPOCH)


def _added(app: App) -> dict[str, Path]:
    """The files that the recipe adds, each by its path in the tree (absolute) or in the program's folder."""
    found: dict[str, Path] = {}
    for name, text in app.files.items():
        source = Path(text)
        if source.is_dir():
            found |= {f"{name}/{inner}": path for inner, path in folder_files(source).items()}
        else:
            found[name] = source
    return found


def lay_out_apps(root: Path, made: Mapping[str, Path]) -> None:
    """Copy apps that are made (the step's folder, by the app's name) below the root of a tree."""
    for name, folder in made.items():
        program = root / apps.program_folder(name).lstrip("/")
        for source, target in ((folder / "program", program), (folder / "files", root)):
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def app_files(recipe: Recipe, target: Target) -> dict[str, str]:
    """The texts that the tree has because of its apps, by their path."""
    if not recipe.app:
        return {}
    files = {
        apps.PATH: apps.dump(app_list(recipe)).decode(),
        "usr/lib/sysusers.d/ovenbird-apps.conf": _users(recipe),
        "usr/lib/tmpfiles.d/ovenbird-apps.conf": f"d {apps.STATES} 0755 root root -\n",
        **{f"usr/lib/ovenbird/{name}": Path(__file__).with_name(name).read_text() for name in SCRIPTS},
    }
    if by_hand := [app.unit for app in recipe.app if app.start == "manual"]:
        files[REMEMBERING] = unit.remembered(by_hand)
    for app in recipe.app:
        place, text = unit_file(app, target)
        files[place] = text
        if app.kind == "container":
            files["etc/containers/storage.conf"] = STORAGE
    return files


def unit_file(app: App, target: Target) -> tuple[str, str]:
    """Where an app's unit is in the tree, and its text."""
    kind = KINDS[app.kind]
    if app.kind == "container":
        image = image_name(app, kind.inputs(app, target))
        name = app.unit.removesuffix(".service")
        return f"usr/share/containers/systemd/{name}.container", unit.quadlet(app, image, target.release)
    text = unit.service(app, kind.command(app), kind.environment(app), target.release)
    return f"usr/lib/systemd/system/{app.unit}", text


def app_list(recipe: Recipe) -> apps.Apps:
    """What the device knows of its apps."""
    return apps.Apps(
        tuple(
            apps.App(
                name=app.name,
                kind=app.kind,
                unit=app.unit,
                # A container has no user of the system, but a range of numbers.
                user="" if app.kind == "container" and app.user is None else app.runs_as,
                description=app.description,
                ports=app.ports,
                start=app.start,
                state=apps.state_folder(app.name),
                secrets=app.secrets,
                development=app.development,
            )
            for app in recipe.app
        )
    )


def _users(recipe: Recipe) -> str:
    """The users that are apps' own (sysusers.d(5)). Containers have ranges of numbers instead."""
    lines = ["# Each app's own user: it owns the app's working state, and may do nothing else."]
    lines += [
        f'u {own_user(app.name)} - "App {app.name}" {apps.state_folder(app.name)} /usr/sbin/nologin'
        for app in recipe.app
        if app.user is None and app.kind != "container"
    ]
    return "\n".join(lines) + "\n"


def instructions(recipe: Recipe) -> str:
    """What the tree runs for its apps: users, a look whether all that units name is there, compiled files, links."""
    if not recipe.app:
        return ""
    run = ["set -eu", "systemd-sysusers"]
    for app in recipe.app:
        if app.kind == "container":
            continue
        named = [("passwd", "user", app.runs_as), *(("group", "group", group) for group in unit.groups(app))]
        run += [
            f"getent {table} {name} >/dev/null || "
            f"{{ echo 'app {app.name}: there is no {what} \"{name}\" in the image' >&2; exit 1; }}"
            for table, what, name in named
        ]
    folders = [apps.program_folder(app.name) for app in recipe.app if app.kind == "python"]
    if folders:
        # What does not compile is not always meant to (templates, tests of other versions): the app runs without.
        compiler = "python3 -m compileall -qq -j 0 --invalidation-mode unchecked-hash"
        run.append(f"{compiler} {' '.join(folders)} || true")
    units = [app.unit for app in recipe.app if app.kind != "container" and app.start == "boot"]
    if units:
        run.append(f"systemctl enable {' '.join(units)}")
    return "RUN " + "; \\\n    ".join(run) + "\n"


def complaint(error: CommandError) -> BuildError | None:
    """What `instructions` said of an app, out of all that the build of the tree printed; None if it was not that."""
    found = _COMPLAINT.search(error.completed.stderr + "\n" + error.completed.stdout)
    if found is None:
        return None
    return BuildError(found[2], where=found[1], hint="the stage `users` makes users, and packages bring their own")
