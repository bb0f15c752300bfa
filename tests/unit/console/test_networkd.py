"""The real systemd-networkd takes the files, puts them in force, and goes back: in namespaces that nobody else sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

INNER = Path(__file__).with_name("networkd.py")
ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
AS_ROOT = [] if os.geteuid() == 0 else ["--map-auto", "--map-root-user"]


def test_the_real_networkd_follows(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = [*ALONE, *AS_ROOT, sys.executable, str(INNER), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["10.7.7.7/24"],
        ["10.9.9.9/24", "fd00::9/64"],
        ["10.7.7.7/24"],
        ["10.9.9.8/24"],
    ]
