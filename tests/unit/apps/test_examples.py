"""The examples and the recipe of the tests in virtual machines: good recipes with the apps that they promise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ovenbird.build.apps import step
from ovenbird.recipe.load import load

from .conftest import AMD64

ROOT = Path(__file__).resolve().parents[3]
DEVICE = "tests/vm/recipes/apps"
MADE = {"apps-binary": "server", "apps-container": "web.tar"}
"""What an example's build.sh makes."""
APPS = {"apps-python": ["page"], "apps-go": ["server", "present"], "apps-binary": ["tiny"], "apps-container": ["web"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the examples and of the tests' recipe, with what is made before their build."""
    for name in APPS:
        shutil.copytree(ROOT / "examples" / name, tmp_path / "examples" / name, ignore=shutil.ignore_patterns("out"))
        if name in MADE:
            (tmp_path / "examples" / name / MADE[name]).write_bytes(b"")
    shutil.copytree(ROOT / DEVICE, tmp_path / DEVICE)
    shutil.copy(ROOT / DEVICE / "../emulated.toml", tmp_path / DEVICE / "..")
    keys = tmp_path / "test-output/keys"
    keys.mkdir(parents=True)
    (keys / "test.pub").write_text(f"ssh-ed25519 {'A' * 68} test\n")
    return tmp_path


@pytest.mark.parametrize("example", APPS)
def test_the_examples_are_good_recipes(root: Path, example: str) -> None:
    recipe = load(root / "examples" / example).recipe
    assert [app.name for app in recipe.app] == APPS[example]
    assert all(app.health for app in recipe.app)
    assert bool(step.packages(recipe.app)) == (example == "apps-container")
    assert step.app_files(recipe, AMD64)


def test_the_recipe_of_the_virtual_machines(root: Path) -> None:
    """It has every example's apps, beside its own, which are programs that can be started."""
    recipe = load(root / DEVICE).recipe
    examples = [name for names in APPS.values() for name in names]
    assert [app.name for app in recipe.app][: len(examples)] == examples
    assert {app.kind for app in recipe.app} == {"python", "go", "binary", "container"}
    for app in recipe.app[len(examples) :]:
        assert app.kind != "binary" or Path(app.source).stat().st_mode & 0o100
