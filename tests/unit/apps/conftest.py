"""What the apps' tests share: a recipe in a folder of its own, apps out of it, and making one."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ovenbird.build.apps import step
from ovenbird.build.apps.kind import Target, Workshop
from ovenbird.errors import RecipeError
from ovenbird.recipe.app import App
from ovenbird.recipe.load import LoadedRecipe, load
from ovenbird.recipe.problems import Problem, RecipeProblemsError

IMAGE = '[image]\nname = "hello"\nversion = "1.0"\nboard = "vm"\n'
AMD64 = Target("amd64", "trixie", "3.13")
ARM64 = Target("arm64", "trixie", "3.13")

Write = Callable[..., Path]
Load = Callable[[str], LoadedRecipe]
Wrong = Callable[[str], tuple[Problem, ...]]
Make = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file below the recipe's folder, which is also the current one."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def _write(name: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    return _write


@pytest.fixture
def read(write: Write) -> Load:
    """Loads a recipe with these sections."""
    return lambda text: load(write("ovenbird.toml", IMAGE + text))


@pytest.fixture
def wrong(write: Write) -> Wrong:
    """Loads a recipe that has problems, and returns them."""

    def _wrong(text: str) -> tuple[Problem, ...]:
        with pytest.raises(RecipeError) as caught:
            load(write("ovenbird.toml", IMAGE + text))
        assert isinstance(caught.value, RecipeProblemsError)
        return caught.value.problems

    return _wrong


@pytest.fixture
def make(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes an app's folder as the step does, each time afresh; returns the step's folder."""
    cache = tmp_path_factory.getbasetemp() / "cache"  # All tests': Go compiles its own library only once.
    count = iter(range(1000))

    def _make(app: App, target: Target = AMD64) -> Path:
        folder = tmp_path / f"made-{next(count)}"
        for name in ("program", "scratch"):
            (folder / name).mkdir(parents=True)
        workshop = Workshop(folder / "program", folder / "scratch", cache)
        step.make_app(app, target, folder, workshop)
        return folder

    return _make


def contents(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    """Everything below a folder that an image would have: rights, time and content by path."""
    found: dict[str, tuple[int, float, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime, content)
    return found


def write_wheel(file: Path, name: str, *, tag: str = "py3-none-any", commands: str = "", needs: str = "") -> Path:
    """A tiny wheel: one module of the distribution's name."""
    info = f"{name}-1.0.dist-info"
    file = file / f"{name}-1.0-{tag}.whl"
    file.parent.mkdir(parents=True, exist_ok=True)
    entries = {
        f"{name}.py": "def main() -> int:\n    print('hello')\n    return 0\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{commands}",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in entries.items():
            archive.writestr(path, text)
        record = "".join(f"{path},,\n" for path in [*entries, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)
    return file
