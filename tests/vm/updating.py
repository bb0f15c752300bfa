"""The images of `recipes/update`: versions of one system, good and bad, built and signed by the installed program."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.tool import OUTPUT, RECIPES, Tool, one_at_a_time

PASSWORD = "tobak-mirun-depol"
VERSIONS = {"1.0.0": "good", "1.1.0": "good", "1.2.0": "bad", "1.3.0": "good"}


@dataclass(frozen=True)
class Images:
    """The builds of all versions."""

    folder: Path
    environment: Mapping[str, str]
    name: str = "updating"

    def out(self, version: str) -> Path:
        """The outputs of a version."""
        return self.folder / version / "out"

    def bundle(self, version: str) -> Path:
        """Its bundle."""
        return self.out(version) / f"{self.name}.swu"


def build_images(tool: Tool) -> Images:
    """Each version from a copy of the recipe. Kept between runs, and made once where several ask."""
    folder = OUTPUT / "update"
    environment = {"OVENBIRD_KEYS": str(folder / "keys"), "XDG_CONFIG_HOME": str(folder / "config")}
    with one_at_a_time(folder / "lock"):
        if not (folder / "keys/updates.key").is_file():
            done = tool.run("keys", "new", "--to", folder / "certificate", env=environment)
            assert done.code == 0, done.err
        shutil.copy(RECIPES / "emulated.toml", folder)  # which the copies include
        for version, mark in VERSIONS.items():
            copy = folder / version
            shutil.copytree(RECIPES / "update", copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out"))
            recipe = copy / "ovenbird.toml"
            recipe.write_text(recipe.read_text().replace('"1.0.0"', f'"{version}"'))
            (copy / "stages/mark/mark").write_text(f"{mark}\n")
            (copy / "keys").mkdir(exist_ok=True)
            shutil.copy(folder / "certificate/updates.pem", copy / "keys/updates.pem")
            tool.build(copy, "--bundle", env=environment)
    return Images(folder, environment)
