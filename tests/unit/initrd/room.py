"""A room for the initrd's shell: its own functions, run by the real static busybox in a root of their own.

It is a folder with what the initrd has, entered as root of a user namespace: files at `/`, mounts and memory file
systems are the shell's own, the loopback address is this machine's.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovenbird.image.initrd import APPLETS, DHCP, INIT, NETWORK

BUSYBOX = Path("/bin/busybox")
FUNCTIONS = INIT.read_text().partition("# --- the way through")[0] + NETWORK.read_text()
# `say` writes to consoles, which are not here; nobody waits.
QUIET = """
PATH=/bin
say() { printf '%s\\n' "$@" >>/said; }
pauses=0
sleep() { echo "pause $1" >>/said; pauses=$((pauses + 1)); [ "$pauses" -lt 40 ] || exit 9; }
ask_again() { :; }
modprobe() { :; }
"""


@dataclass(frozen=True)
class Room:
    """The folder, and what was said in it."""

    folder: Path

    @property
    def said(self) -> str:
        """All that would have been on the screen."""
        file = self.folder / "said"
        return file.read_text() if file.exists() else ""

    def shell(self, script: str, *words: object, patience: float = 60, network: str = "") -> str:
        """Run init's functions and then the script; returns what it prints.

        With `network`, a script that sets it up, in a network of its own, where no packet of any other can be.
        """
        (self.folder / "script").write_text(FUNCTIONS + QUIET + script)
        enter = """
            for name in proc dev; do mount --rbind /$name "$0/$name" || exit; done
            exec chroot "$0" /bin/sh /script "$@"
        """
        apart: tuple[str, ...] = ()
        if network:
            apart = ("--net", "--pid", "--fork", "--kill-child", "--mount-proc")
            enter = f"set -e; mount -t sysfs sysfs '{self.folder}/sys'; {network}\n{enter}"
        inside = ["sh", "-c", enter, str(self.folder), *map(str, words)]
        command = ["unshare", "--user", "--map-root-user", "--mount", *apart, "--", *inside]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr, self.said)
        return done.stdout


def furnish(folder: Path, files: Mapping[str, bytes] | None = None) -> Room:
    """Make a room in a new folder, with further files."""
    for name in ("bin", "etc", "lib", "dev", "proc", "sys", "sysroot", "run", "toram", "layers"):
        (folder / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    shutil.copy(DHCP, folder / "lib/dhcp")
    (folder / "lib/dhcp").chmod(0o755)
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return Room(folder)
