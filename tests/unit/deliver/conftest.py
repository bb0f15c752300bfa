"""An empty folder for what the workstation remembers of devices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tool import OUTPUT, one_at_a_time
from tests.unit.deliver.speaker import Speaker, start
from tests.unit.services.conftest import served as served  # a device with services and a journal


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where passwords are remembered."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("OVENBIRD_PASSWORD", raising=False)
    return tmp_path / "config/ovenbird/devices"


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    """A small device over HTTP."""
    running = start()
    yield running
    running.down = True
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def air() -> Iterator[None]:
    """The loopback's multicast to oneself: what is announced there, every test process hears."""
    with one_at_a_time(OUTPUT / "air.lock"):
        yield
