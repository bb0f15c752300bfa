"""An app as a step of a build: made once, kept in the store, made again when something of it changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ovenbird.base.apt import Index, Package
from ovenbird.boards import board
from ovenbird.build.apps import step
from ovenbird.build.bake import Baker
from ovenbird.build.bundle import Absence
from ovenbird.build.context import settle
from ovenbird.build.cross.crossing import crossing
from ovenbird.build.engine import Engine
from ovenbird.build.packages import Packages
from ovenbird.build.plan import Plan, Step
from ovenbird.build.store import Store
from ovenbird.errors import RecipeError
from ovenbird.progress import QuietProgress
from ovenbird.recipe.load import LoadedRecipe

from .conftest import AMD64, Load, Write

RECIPE = "[[app]]\nname='tool'\nbinary='tool'\nfiles={ '/etc/tool.conf' = 'tool.conf' }\n"


@pytest.fixture(autouse=True)
def places(write: Write) -> None:
    write("tool", "#!/bin/sh\n", 0o755)
    write("tool.conf", "x", 0o600)


def plan_of(loaded: LoadedRecipe, cache: Path) -> Plan:
    """A plan with the apps' steps alone."""
    python = Package("libpython3.13-minimal", "3.13.5-2", "amd64", "0" * 64, 1)
    machine = board("vm")
    steps = [Step("app", step.step_name(app), step.app_inputs(app, AMD64)) for app in loaded.recipe.app]
    index = Index.at(cache, (), machine.architecture, ())
    packages = Packages((), index, (python,), index, (python,))
    way = crossing(loaded, machine)
    return Plan(loaded, machine, way, packages, (), None, tuple(steps), Absence("no keys", "make one", False))


def bake(loaded: LoadedRecipe, cache: Path) -> Baker:
    """Make the first app's step."""
    plan = plan_of(loaded, cache)
    assert plan.target == AMD64
    baker = Baker(plan, Store(cache), Engine.at(cache), QuietProgress())
    baker.bake(plan.steps[0].name)
    return baker


def test_an_app_is_made_once(read: Load, write: Write, tmp_path: Path) -> None:
    first = bake(read(RECIPE), tmp_path / "cache")
    assert first.made == ["app tool"]
    folder = first.folder("app tool")
    assert (folder / "program/tool").stat().st_mode & 0o777 == 0o755
    assert (folder / "files/etc/tool.conf").stat().st_mode & 0o777 == 0o644
    assert bake(read(RECIPE), tmp_path / "cache").made == []
    assert bake(read(RECIPE + "arguments=['-v']\n"), tmp_path / "cache").made == [], "arguments make no new program"
    write("tool.conf", "y")
    assert bake(read(RECIPE), tmp_path / "cache").made == ["app tool"]


def test_what_is_made_does_not_depend_on_the_checkout(read: Load, write: Write, tmp_path: Path) -> None:
    one = bake(read(RECIPE), tmp_path / "one").folder("app tool")
    settle(Path(), 1_700_000_000)
    write("tool.conf", "x", 0o664)
    two = bake(read(RECIPE), tmp_path / "two").folder("app tool")
    assert one.name == two.name
    for name in ("program/tool", "files/etc/tool.conf", "program", "files/etc"):
        first, second = (one / name).stat(), (two / name).stat()
        assert (first.st_mode, first.st_mtime) == (second.st_mode, second.st_mtime)


def test_an_app_that_cannot_be_made_leaves_nothing(read: Load, write: Write, tmp_path: Path) -> None:
    write("tool", "no program")
    with pytest.raises(RecipeError, match="is no program"):
        bake(read(RECIPE), tmp_path / "cache")
    assert not list((tmp_path / "cache/steps").glob("app/*"))
    assert not list((tmp_path / "cache/scratch").iterdir())
    shutil.rmtree(tmp_path / "cache")
