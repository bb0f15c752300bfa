"""A twin beside the same system that was really installed for the target, under emulation: the same, path by path."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.trees import differences, unpack

from ovenbird.image.packages import installed_packages
from tests.tool import Tool

pytestmark = pytest.mark.build
RECIPE = '[image]\nname="same"\nversion="1"\nboard="vm-arm64"\n[build]\nstages=["os"]\nemulate={}\n'


@pytest.fixture(scope="module")
def images(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The root images of both."""
    found: dict[str, Path] = {}
    for emulate in ("false", "true"):
        folder = tmp_path_factory.mktemp(f"emulate-{emulate}")
        (folder / "ovenbird.toml").write_text(RECIPE.format(emulate))
        done = tool.run("build", folder, within=3600)
        assert done.code == 0, done.err
        found[emulate] = folder / "out/root.squashfs"
    return found


def test_only_explained_differences_remain(images: dict[str, Path], tmp_path: Path) -> None:
    twin, emulated = (unpack(images[name], tmp_path / name) for name in ("false", "true"))
    assert len(twin) > 3000
    assert differences(twin, emulated) == []


def test_both_have_the_same_packages(images: dict[str, Path]) -> None:
    assert installed_packages(images["false"]) == installed_packages(images["true"])
