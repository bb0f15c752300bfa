"""The three verbs as they are typed: their text, their JSON, their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .images import Images, build


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """One build."""
    return build(tmp_path_factory.mktemp("cli") / "out")


def ovenbird(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool."""
    command = [sys.executable, "-c", "from ovenbird.cli.app import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_inspect_tells_what_matters(images: Images) -> None:
    done = ovenbird("inspect", images.folder)
    assert done.returncode == 0
    for text in ("root-a", "Slot a: active", "Slot b: empty", "6.12.1-test", "hello 1.0", "2.10", "Test 1"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout


def test_inspect_as_json(images: Images) -> None:
    data = json.loads(ovenbird("inspect", images.root, "--json").stdout)
    assert data["kind"] == "squashfs"
    assert data["root"]["packages"][1] == {"name": "hello", "version": "2.10", "architecture": "amd64", "size": 1060}


def test_diff_ends_as_diff_does(images: Images, tmp_path: Path) -> None:
    other = build(tmp_path / "other", version="9")
    assert ovenbird("diff", images.disk, images.disk).returncode == 0
    done = ovenbird("diff", images.disk, other.disk)
    assert done.returncode == 1
    assert "/usr/lib/ovenbird/image.json" in done.stdout
    trouble = ovenbird("diff", images.disk, tmp_path / "nothing")
    assert trouble.returncode == 2
    assert "no such file" in trouble.stderr
    data = json.loads(ovenbird("diff", images.root, other.root, "--json").stdout)
    assert data["same"] is False
    assert data["parts"][0]["files"][0]["what"] == ["content"]


def test_errors_are_one_line_and_a_help(images: Images, tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(b"nothing")
    done = ovenbird("inspect", tmp_path / "x.img")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    done = ovenbird("extract", images.disk)
    assert done.returncode == 2
    assert "--root FOLDER" in done.stderr
