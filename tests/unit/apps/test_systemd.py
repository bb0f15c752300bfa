"""What a real systemd still knows of an app that was started by hand, once it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ovenbird.build.apps import unit

INNER = Path(__file__).with_name("systemd.py")
ALONE = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child"]
AS_ROOT = [] if os.geteuid() == 0 else ["--map-auto", "--map-root-user"]


def test_how_an_app_ended_is_still_known(tmp_path: Path) -> None:
    remembered = tmp_path / "remembered.conf"
    remembered.write_text(unit.remembered(["app-known.service"]))
    command = [*ALONE, *AS_ROOT, sys.executable, str(INNER), str(remembered)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    # The second one is what it is without: systemd has forgotten it, or else there was nothing to repair.
    assert done.stdout.splitlines() == ["app-known.service: stopped: code 7", "app-other.service: stopped: nothing"]
