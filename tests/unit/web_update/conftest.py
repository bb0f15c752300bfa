"""A device in a file for each test that changes one, and what is sent to it."""

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
