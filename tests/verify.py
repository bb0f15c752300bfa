"""What `dpkg --verify` may say of a finished system: what its build leaves out, and one file that it has changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

CHANGED = {"/usr/lib/os-release"}
"""It tells the image's name and version."""
REMOVED = re.compile(r"/usr/share/(bug|doc-base|groff|info|linda|lintian|man(/man[0-9a-z]+)?)")
"""Folders that the stage `cleanup` removes; dpkg's own rules are about what is in them."""
EMPTY = {"/var/cache/apt/archives/partial", "/var/lib/apt/lists/partial"}
"""Folders of what is being downloaded; apt makes them."""


def unexplained(lines: Iterable[str], rules: str) -> list[str]:
    """Those lines of `dpkg --verify` that no rule explains. `rules` is the system's own /etc/dpkg/dpkg.cfg.d/ovenbird
    (dpkg(1), --path-exclude: the last rule that fits counts).
    """
    patterns = [line.partition("=")[::2] for line in rules.splitlines()]
    found: list[str] = []
    for line in lines:
        match = re.fullmatch(r"(\S+) +(?:c )?(/.*)", line)
        assert match, line
        what, path = match.groups()
        left_out = next((option == "path-exclude" for option, one in patterns[::-1] if fnmatchcase(path, one)), False)
        explained = left_out or path in EMPTY or REMOVED.fullmatch(path) is not None
        if not (explained if what == "missing" else path in CHANGED and what == "??5??????"):
            found.append(line)
    return found
