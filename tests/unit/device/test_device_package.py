"""What is shipped beside the code: units that systemd accepts, and requirements that name no index."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ovenbird_device

PACKAGE = Path(ovenbird_device.__file__).parent
KINDS = (".path", ".service", ".socket", ".timer")
UNITS = sorted(path.name for path in (PACKAGE / "units").iterdir() if path.suffix in KINDS)
ALLOWED = {"starlette", "uvicorn", "jinja2", "msgspec", "ovenbird_device", "__future__"}


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_every_line(unit: str) -> None:
    """`systemd-analyze verify` prints a line for each unknown section, key or value."""
    tool = shutil.which("systemd-analyze")
    assert tool, "systemd-analyze is needed (package systemd)"
    path = PACKAGE / "units" / unit
    done = subprocess.run([tool, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(path) in line or unit in line]
    assert complaints == []


def test_the_preset_enables_what_is_installed() -> None:
    enabled = re.findall(r"^enable (\S+)$", (PACKAGE / "units/90-ovenbird.preset").read_text(), re.MULTILINE)
    wanted = [name for name in UNITS if "[Install]" in (PACKAGE / "units" / name).read_text()]
    assert sorted(enabled) == wanted


def test_the_lock_has_hashes_and_no_index() -> None:
    lock = (PACKAGE / "requirements.lock").read_text()
    names = re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)
    assert {"starlette", "uvicorn", "jinja2", "msgspec", "h11"} <= set(names)
    assert lock.count("--hash=sha256:") >= len(names)
    assert "://" not in lock
    assert "--index" not in lock


def test_the_device_imports_only_what_it_carries() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in ALLOWED or top in sys.stdlib_module_names, f"{path} imports {name}"
