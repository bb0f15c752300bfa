"""What tests of every kind share: the tool, its cache (kept between runs, so that a second run is fast), one image."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import Maker, Owner
from tests.tool import HELLO, OUTPUT, Project, Tool, one_at_a_time

# The machine may be busy with builds and guests: how long an example takes says nothing of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The files that take longest, in this order: begun late, one of them would keep a single processor busy at the end.
LONGEST = (
    "vm/test_apps.py",
    "vm/test_stages.py",
    "vm/test_fan.py",
    "vm/test_power_cuts_uefi.py",
    "vm/test_power_cuts_bios.py",
    "vm/test_update.py",
    "vm/pi/test_device.py",
    "build/test_cross_emulated.py",
    "vm/test_trial_boots.py",
    "vm/test_device.py",
    "vm/test_console.py",
)
KINDS = ("vm", "build", "browser", "interop")  # The rest is short, and fills what is left.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the order within a file stays."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, int]:
    file = item.path.relative_to(Path(__file__).parent)
    long = LONGEST.index(str(file)) if str(file) in LONGEST else len(LONGEST)
    return long, KINDS.index(file.parts[0]) if file.parts[0] in KINDS else len(KINDS)


@pytest.fixture(scope="session", autouse=True)
def cache() -> Path:
    """The cache folder of all tests, also for what they start: never the user's own."""
    folder = OUTPUT / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["OVENBIRD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tool(cache: Path) -> Tool:
    """The installed program."""
    return Tool(cache)


@pytest.fixture(scope="session")
def hello(tool: Tool) -> Path:
    """The folder with the example's image, built by the installed program. It is shared: change nothing in it."""
    out = OUTPUT / "hello"
    tool.build(HELLO, "--out", out)
    return out


@pytest.fixture(scope="session")
def key() -> Path:
    """The private half of the tests' SSH key; kept between runs, so that what is built with it is kept too."""
    path = OUTPUT / "keys/test"
    with one_at_a_time(path.parent / "lock"):
        if not path.is_file():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True)
    return path


@pytest.fixture
def project(tmp_path: Path, hello: Path) -> Project:
    """A copy of the example to change; all that it has in common with the example is in the store already."""
    return Project.of_hello(tmp_path / "project")


@pytest.fixture
def empty(tmp_path: Path, cache: Path, hello: Path) -> Tool:
    """The program with an empty store; package lists and downloaded packages are there."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("packages", "index"):
        (folder / name).symlink_to(cache / name)
    return Tool(folder)


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes bundles for devices in files."""
    return Maker(tmp_path_factory.mktemp("bundles"), Owner.new(), Owner.new())
