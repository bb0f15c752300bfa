"""The smallest root in which pacman runs: this machine's own, with gpg, the libraries that they name, and busybox."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.foreign.arch import LOCAL

PROGRAMS = ("pacman", "gpg", "gpgconf")
APPLETS = (
    "sh",
    "bash",
    "cat",
    "chmod",
    "cp",
    "echo",
    "env",
    "false",
    "grep",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "true",
)


def tree(root: Path) -> Path:
    """Make it in a folder that is not there yet."""
    for name in (
        "usr/bin",
        "usr/lib",
        "etc/pacman.d",
        "var/lib/pacman/local/filesystem-1-1",
        "var/cache/pacman/pkg",
        "root",
    ):
        (root / name).mkdir(parents=True)
    for link in ("bin", "sbin"):
        (root / link).symlink_to("usr/bin")
    for link in ("lib", "lib64"):
        (root / link).symlink_to("usr/lib")
    for program in PROGRAMS:
        shutil.copy(str(shutil.which(program)), root / "usr/bin" / program)
    shutil.copy("/bin/busybox", root / "usr/bin/busybox")
    for applet in APPLETS:
        (root / "usr/bin" / applet).symlink_to("busybox")
    programs = [root / "usr/bin" / program for program in PROGRAMS]
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+\.so\S*)", listed):
        shutil.copy(library, root / "usr/lib" / Path(library).name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/ld.so.conf").write_text("/usr/lib\n")
    local = root / "var/lib/pacman/local"
    (local / "ALPM_DB_VERSION").write_text("9\n")
    (local / "filesystem-1-1/desc").write_text(LOCAL)
    (local / "filesystem-1-1/files").write_text("%FILES%\n\n")
    return root
