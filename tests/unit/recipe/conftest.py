"""What the recipe's tests share: a folder with a recipe in it, and loading that gives the problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ovenbird.errors import RecipeError
from ovenbird.recipe.load import load
from ovenbird.recipe.problems import Problem, RecipeProblemsError

IMAGE = '[image]\nname = "hello"\nversion = "1.0"\nboard = "vm"\n'
"""The least that a recipe needs: four lines."""

Write = Callable[..., Path]
Wrong = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file below the test's folder, which is also the current one; returns its path."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str | bytes, name: str = "ovenbird.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return _write


@pytest.fixture
def wrong(write: Write) -> Wrong:
    """Writes a recipe, loads it and returns its problems, of which there must be some."""

    def _wrong(text: str | bytes, name: str = "ovenbird.toml") -> tuple[Problem, ...]:
        with pytest.raises(RecipeError) as caught:
            load(write(text, name))
        assert isinstance(caught.value, RecipeProblemsError)
        return caught.value.problems

    return _wrong
