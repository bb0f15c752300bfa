"""The tool as its users have it: the installed program in a process of its own, its exit code and what it prints."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovenbird_device.format.manifest import Manifest, load_manifest

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "test-output"
HELLO = ROOT / "examples/hello"
RECIPES = ROOT / "tests/vm/recipes"


@dataclass(frozen=True)
class Done:
    """How a run of the tool ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401  # Whatever the tool printed.
        """What `--json` printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Tool:
    """The program with the cache folder that it works in."""

    cache: Path
    program: tuple[str, ...] = (str(Path(sys.executable).with_name("ovenbird")),)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a run."""
        return {**os.environ, "OVENBIRD_CACHE": str(self.cache), **(more or {})}

    def start(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the program in a session of its own, open to Ctrl-C even where the tests themselves are not."""
        return subprocess.Popen(
            ["env", "--default-signal=INT", *self.program, *(str(word) for word in words)],
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None, within: float = 600) -> Done:
        """Run the program to its end (`within` seconds)."""
        with self.start(*words, env=env) as process:
            try:
                out, err = process.communicate(timeout=within)
            except BaseException:
                process.kill()
                raise
        return Done(process.returncode, out, err)

    def build(self, recipe: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> list[str]:
        """Build a recipe, which must succeed; returns the names of the steps that were made."""
        done = self.run("build", recipe, "--json", *words, env=env)
        assert done.code == 0, done.err
        return [made["step"] for made in done.json()["made"]]

    def explain(self, recipe: Path) -> dict[str, list[str]]:
        """The steps that a build would make, each with what changed."""
        done = self.run("build", recipe, "--json", "--explain")
        assert done.code == 0, done.err
        return {verdict["step"]: verdict["because"] for verdict in done.json() if not verdict["kept"]}


@contextmanager
def one_at_a_time(lock: Path) -> Generator[None]:
    """What several test processes make once and share."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Project:
    """A recipe with its stages in a folder of its own, to be changed by a test."""

    folder: Path

    @classmethod
    def of_hello(cls, folder: Path) -> Project:
        """A copy of the example."""
        shutil.copytree(HELLO, folder, ignore=shutil.ignore_patterns("out"))
        return cls(folder)

    @property
    def recipe(self) -> Path:
        """The recipe."""
        return self.folder / "ovenbird.toml"

    @property
    def out(self) -> Path:
        """Where its outputs go."""
        return self.folder / "out"

    def change(self, old: str, new: str, *, file: str = "ovenbird.toml") -> None:
        """Replace a text that must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def for_emulated_machines(self) -> None:
        """Leave out what only costs those."""
        self.change("[image]", f'include = ["{RECIPES}/emulated.toml"]\n\n[image]')

    def add(self, text: str) -> None:
        """Append to the recipe."""
        with self.recipe.open("a") as stream:
            stream.write(f"\n{text}\n")

    def stage(self, name: str, instructions: str, files: Mapping[str, bytes] | None = None) -> None:
        """Write a stage and let the recipe use it as the last."""
        folder = self.folder / "stages" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Containerfile.part").write_text(instructions)
        for file, content in (files or {}).items():
            (folder / file).write_bytes(content)
        if f"./stages/{name}" not in self.recipe.read_text():
            self.change('"./stages/greeting"]', f'"./stages/greeting", "./stages/{name}"]')

    def manifest(self) -> Manifest:
        """The manifest of its outputs."""
        return load_manifest((self.out / "manifest.json").read_bytes())


def digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The sha256 of files of a folder."""
    from ovenbird.files import sha256_of

    return {name: sha256_of(folder / name) for name in names}
