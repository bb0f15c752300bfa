"""A real agent and a real steward with a real journal; only `systemctl` is a stand-in that knows some units."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import services
from tests.journal import TestJournal, journal
from tests.unit.device import conftest as device


@dataclass
class Served:
    """A device with services."""

    device: device.Device
    journal: TestJournal

    @property
    def orders(self) -> list[str]:
        """What systemctl was told, without the questions."""
        return [one for one in self.device.orders if not one.startswith("show ")]

    def unit(self, name: str, **other: str) -> None:
        """Change a unit."""
        (self.device.folder / "units" / name).write_text(services.unit(name, **other))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A device of the test's own."""
    tools = services.lay_out(tmp_path)
    monkeypatch.setenv("PATH", services.path(tools))
    with journal(tmp_path) as own:
        options = ["--apps", str(tmp_path / "apps.json"), "--journal", str(own.files)]
        running = device.start(tmp_path, *options)
        path = tmp_path / "run/ovenbird/steward.sock"
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
        command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--apps", str(tmp_path / "apps.json")]
        command += ["--state", str(tmp_path / "state")]
        running.stewards.append(subprocess.Popen(command))
        device.wait_for(lambda: device.listens(path))
        yield Served(running, own)
        device.stop(running)
