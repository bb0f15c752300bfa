"""Each example of apps, built alone as its head says. Their apps are booted all together by tests/vm/test_apps.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovenbird_device.format import apps
from tests.examples import EXAMPLES, make_examples
from tests.tool import OUTPUT, Tool

pytestmark = pytest.mark.build

UNITS, QUADLETS = "usr/lib/systemd/system", "usr/share/containers/systemd"


def files(image: Path) -> set[str]:
    """The paths of all files of a built tree."""
    shown = subprocess.run(["unsquashfs", "-l", "-d", "", image], check=True, capture_output=True, text=True)
    return {line.lstrip("/") for line in shown.stdout.splitlines()}


@pytest.mark.parametrize(
    ("example", "names", "there"),
    [
        ("apps-python", ["page"], ["page/main.py", "page/uvicorn/__init__.py"]),
        ("apps-go", ["server", "present"], ["server/server", "present/present"]),
        ("apps-binary", ["tiny"], ["tiny/tiny"]),
        ("apps-container", ["web"], ["web/image/index.json"]),
    ],
)
def test_an_example_builds(tool: Tool, example: str, names: list[str], there: list[str]) -> None:
    make_examples()
    out = OUTPUT / example
    tool.build(EXAMPLES / example, "--out", out)
    root = out / "root.squashfs"
    listed = subprocess.run(["unsquashfs", "-cat", root, apps.PATH.lstrip("/")], check=True, capture_output=True)
    assert [app.name for app in apps.load(listed.stdout).apps] == names
    found = files(root)
    assert {f"usr/lib/ovenbird-apps/{name}" for name in there} <= found
    for name in names:
        assert found & {f"{UNITS}/app-{name}.service", f"{QUADLETS}/app-{name}.container"}
    assert tool.build(EXAMPLES / example, "--out", out) == [], "nothing is made twice"
