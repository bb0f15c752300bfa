"""What was understood of a recipe, for `ovenbird check`: in lines for people and as data for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ovenbird.errors import RecipeError
from ovenbird.recipe.app import App
from ovenbird.recipe.duration import format_duration
from ovenbird.recipe.load import LoadedRecipe
from ovenbird.recipe.model import Recipe
from ovenbird.recipe.problems import Problem, RecipeProblemsError, shown
from ovenbird.recipe.size import format_size
from ovenbird.recipe.stage import Stage


def lines(loaded: LoadedRecipe) -> list[tuple[str, str]]:
    """Label and text, in the order of the recipe."""
    recipe = loaded.recipe
    network, disk = recipe.network, recipe.disk
    slots = f"two slots (boot {format_size(disk.boot)} + root {format_size(disk.root)}), data {format_size(disk.data)}"
    address = ", ".join(network.addresses) + (f" via {network.gateway}" if network.gateway else "")
    kept = ", ".join(recipe.state.persist)
    found = [
        ("image", f"{recipe.image.name} {recipe.image.version}"),
        ("board", recipe.image.board),
        ("recipe", ", ".join(shown(file) for file in (loaded.path, *loaded.files[:-1]))),
        ("base", f"{recipe.base.distribution} {_start(recipe)}" + _count(len(recipe.base.packages))),
        *(("stage", _stage(stage)) for stage in loaded.stages),
        *(("app", _app(app)) for app in recipe.app),
        ("disk", slots),
        ("state", f"/var {recipe.state.var}" + (f"; kept: {kept}" if kept else "")),
        ("network", f"{recipe.hostname}, {address or 'DHCP'}"),
        ("updates", _updates(recipe)),
    ]
    if recipe.image.description:
        found.insert(1, ("", recipe.image.description))
    return found


def _start(recipe: Recipe) -> str:
    base = recipe.base
    if base.tarball is None:
        return base.release
    kernel = f"kernel of Debian {base.release}" if base.kernel == "debian" else "its own kernel"
    return f"{Path(base.tarball).name}, {kernel}"


def _updates(recipe: Recipe) -> str:
    update = recipe.update
    if not update.keys:
        return "refused, since there are no `keys` in [update]"
    signers = ", ".join(shown(file) for file in update.keys)
    checks = f" by {', '.join(check.name for check in recipe.health)}" if recipe.health else ""
    return f"signed for {signers}; healthy{checks} within {format_duration(update.deadline)}"


def _count(packages: int) -> str:
    return f", {packages} further package{'' if packages == 1 else 's'}" if packages else ""


def _stage(stage: Stage) -> str:
    files = len(stage.files)
    extras = [f"{files} file{'' if files == 1 else 's'}"] if files else []
    emulated = ["emulated for other architectures"] if stage.emulate else []
    return " · ".join([stage.name, *([stage.description] if stage.description else []), *extras, *emulated])


def _app(app: App) -> str:
    transport, colon, place = app.source.rpartition(":/")
    local = bool(colon) or app.source.startswith("/")
    source = f"{transport}{':' if colon else ''}{Path(place).name}" if local and "//" not in app.source else app.source
    ports = [f"port {', '.join(app.ports)}"] if app.ports else []
    return " · ".join(
        [app.name, f"{app.kind} {source}", *ports, *(["started by hand"] if app.start == "manual" else [])]
    )


def data(loaded: LoadedRecipe) -> dict[str, Any]:
    """The recipe with all defaults, as plain data: sizes in bytes, paths as text."""
    return {
        "ok": True,
        "path": str(loaded.path),
        "files": [str(file) for file in loaded.files],
        "digest": loaded.digest,
        "recipe": msgspec.to_builtins(loaded.recipe, enc_hook=str),
        "stages": [
            {
                "name": stage.name,
                "folder": str(stage.folder),
                "description": stage.description,
                "packages": list(stage.packages),
                "arguments": dict(stage.arguments),
                "emulate": stage.emulate,
                "files": {target: str(source) for target, source in stage.files.items()},
            }
            for stage in loaded.stages
        ],
    }


def problem_data(error: RecipeError) -> dict[str, Any]:
    """What is wrong with a recipe, as plain data."""
    several = error.problems if isinstance(error, RecipeProblemsError) else (Problem(error.message, hint=error.hint),)
    return {
        "ok": False,
        "problems": [
            {
                "message": problem.message,
                "file": str(problem.file) if problem.file else None,
                "line": problem.line,
                "hint": problem.hint,
            }
            for problem in several
        ],
    }
