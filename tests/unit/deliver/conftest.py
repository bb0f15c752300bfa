"""A device in a file, and an empty folder for what the workstation remembers of devices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import Lab, Maker, Owner, lab


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes bundles."""
    return Maker(tmp_path_factory.mktemp("bundles"), Owner.new(), Owner.new())


@pytest.fixture
def device(tmp_path: Path, maker: Maker) -> Iterator[Lab]:
    """A fresh device that runs 1.0.0 from slot a."""
    with lab(tmp_path / "device", maker) as running:
        yield running


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where passwords are remembered."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("OVENBIRD_PASSWORD", raising=False)
    return tmp_path / "config/ovenbird/devices"
