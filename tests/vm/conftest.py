"""Real devices for the tests: images built by the installed program, and one guest that many tests look at."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from ovenbird.files import copy_sparse, sha256_of_sparse
from ovenbird.vm.command import Boot
from tests.examples import make_examples
from tests.tool import OUTPUT, RECIPES, Tool, one_at_a_time
from tests.vm.guest import Guest, guest
from tests.vm.trial import Image, Patient, make_patient
from tests.vm.updating import Images, build_images


@pytest.fixture(scope="session")
def full(tool: Tool, key: Path) -> Path:
    """The folder with the image of `recipes/full`."""
    out = OUTPUT / "full"
    tool.build(RECIPES / "full", "--out", out)
    return out


@pytest.fixture(scope="session")
def apps(tool: Tool, key: Path) -> Path:
    """The folder with the image of `recipes/apps`."""
    make_examples()
    out = OUTPUT / "apps"
    tool.build(RECIPES / "apps", "--out", out)
    return out


@pytest.fixture(scope="session")
def flashable(tool: Tool, key: Path) -> Path:
    """The folder with the image of `recipes/flash`."""
    out = OUTPUT / "flash"
    tool.build(RECIPES / "flash", "--out", out)
    return out


@pytest.fixture(scope="session")
def stages(tool: Tool, key: Path) -> Path:
    """The folder with the image of `recipes/stages`."""
    out = OUTPUT / "stages"
    tool.build(RECIPES / "stages", "--out", out)
    return out


@pytest.fixture(scope="module")
def first_boot(full: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device of a module's tests, with a watchdog plugged in and no password given; told at its first boot."""
    folder = tmp_path_factory.mktemp("device")
    with guest(full, folder, boot=Boot.UEFI, key=key, extra=["-device", "i6300esb"]) as device:
        yield device


@pytest.fixture
def device(first_boot: Guest) -> Guest:
    """The same, switched on if a test left it off."""
    if not first_boot.machine.running:
        first_boot.power_on()
    return first_boot


@pytest.fixture(scope="session")
def images(tool: Tool) -> Images:
    """Four versions of one system."""
    return build_images(tool)


@pytest.fixture(scope="session")
def trial_base(tool: Tool) -> tuple[Image, Path]:
    """The image whose systems a word on the command line breaks, and a device with it after its first good boot; kept
    between runs, and made once where several ask.
    """
    image = Image(OUTPUT / "trial")
    tool.build(RECIPES / "trial", "--out", image.folder)
    disk = OUTPUT / f"trial-{sha256_of_sparse(image.folder / 'disk.img')[:16]}.img"
    with one_at_a_time(OUTPUT / "trial.lock"):
        if not disk.is_file():
            for former in OUTPUT.glob("trial-*.img"):
                former.unlink()
            make_patient(image, disk)
    return image, disk


@pytest.fixture
def patient(trial_base: tuple[Image, Path], tmp_path: Path) -> Patient:
    """A copy of that device, to be broken."""
    image, disk = trial_base
    copy_sparse(disk, tmp_path / "disk.img")
    return Patient(image, tmp_path / "disk.img")
