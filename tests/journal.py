"""A journal of a test's own: a real systemd-journald in a mount namespace, which keeps its files in the test's folder.

It takes what clients send to its socket. The unit that a line belongs to is told by OBJECT_SYSTEMD_UNIT, which
journalctl looks for beside the unit that journald finds out itself: a test is no unit.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

JOURNALD = "/usr/lib/systemd/systemd-journald"
_SCRIPT = r"""
set -e
mount --bind "$1" /run
mount --bind "$2" /proc/sys/kernel/random/boot_id
exec "$3"
"""
_CONFIGURATION = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\nRuntimeMaxUse=256M\n"


class TestJournal:
    """A running journald and its files."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.run = folder / "journal-run"
        self.files = self.run / "log/journal"
        for name in ("systemd/journal", "systemd/journald.conf.d", "log/journal", "udev"):
            (self.run / name).mkdir(parents=True, exist_ok=True)
        (self.run / "systemd/journald.conf.d/test.conf").write_text(_CONFIGURATION)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, boot: str = "1") -> None:
        """Start journald in a boot of its own."""
        note = self.run / "boot_id"
        note.write_text(f"{int(boot, 16):032x}\n"[:8] + "-0000-4000-8000-" + f"{int(boot, 16):012x}\n")
        # An ordinary user is root in a user namespace of its own.
        own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        command = [*own, "sh", "-c", _SCRIPT, "sh", str(self.run), str(note), JOURNALD]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not self._listens():
            assert self._process.poll() is None, "systemd-journald does not run here"
            assert time.monotonic() < end, "systemd-journald does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; the files stay."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def say(self, unit: str, *texts: str, level: int = 6, source: str = "test") -> None:
        """Write lines of a unit."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.connect(str(self.run / "systemd/journal/socket"))
            for text in texts:
                head = f"PRIORITY={level}\nSYSLOG_IDENTIFIER={source}\nOBJECT_SYSTEMD_UNIT={unit}\nMESSAGE\n".encode()
                body = text.encode("utf-8", "surrogateescape")
                link.send(head + len(body).to_bytes(8, "little") + body + b"\n")

    def wait(self, unit: str, text: str) -> None:
        """Wait until the journal has a line."""
        end = time.monotonic() + 30
        while text not in self._shown(unit):
            assert time.monotonic() < end, "the line does not arrive in the journal"
            time.sleep(0.05)

    def _shown(self, unit: str) -> str:
        command = ["journalctl", f"--directory={self.files}", "--output=cat", f"--unit={unit}", "--lines=5", "--quiet"]
        return subprocess.run(command, capture_output=True, check=False).stdout.decode("utf-8", "replace")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            return link.connect_ex(str(self.run / "systemd/journal/socket")) == 0


@contextmanager
def journal(folder: Path) -> Generator[TestJournal]:
    """A journal that runs while the test does."""
    own = TestJournal(folder)
    own.start()
    try:
        yield own
    finally:
        own.stop()
