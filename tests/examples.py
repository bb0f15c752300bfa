"""What the examples of apps want made before their build, as their own scripts make it."""

from __future__ import annotations

import subprocess

from tests.tool import OUTPUT, ROOT, one_at_a_time

EXAMPLES = ROOT / "examples"
_SCRIPTS = ("apps-binary", "apps-container")
_MADE = (EXAMPLES / "apps-binary/server", EXAMPLES / "apps-container/web.tar")


def make_examples() -> None:
    """Run the scripts, unless what they make is newer than all that it is made of."""
    with one_at_a_time(OUTPUT / "examples.lock"):
        sources = [file for name in _SCRIPTS for file in (EXAMPLES / name).iterdir() if file not in _MADE]
        newest = max(file.stat().st_mtime for file in sources)
        if all(file.exists() and file.stat().st_mtime > newest for file in _MADE):
            return
        subprocess.run([EXAMPLES / "apps-container/build.sh"], check=True)  # It runs the other one's, too.
