"""An empty folder for what the workstation remembers of devices."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where passwords are remembered."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("OVENBIRD_PASSWORD", raising=False)
    return tmp_path / "config/ovenbird/devices"
