"""Run in a mount namespace of its own: a real systemd, with a service that has it keep a descriptor, and is killed.

    unshare --mount --pid --cgroup --fork --kill-child python keeper.py systemd FOLDER

Each start of the service appends to FOLDER/told what it was given: the text in a file in memory, or "nothing".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ovenbird_device.fan.outputs import keeping

SYSTEMD = "/lib/systemd/systemd"
RUN = Path("/run")
NAME = "gpio-chip-18"


def memory(text: str) -> int:
    """A descriptor of a file in memory."""
    descriptor = os.memfd_create("line")
    os.write(descriptor, text.encode())
    return descriptor


def daemon(folder: Path) -> None:
    """What a start is given, and for the first one something to keep."""
    kept = keeping.kept(os.environ)
    text = os.pread(kept[NAME], 100, 0).decode() if kept else "nothing"
    if not kept:
        keeping.keep(NAME, memory("first"))
        keeping.settle()
    with (folder / "told").open("a") as told:
        told.write(f"{text}\n")
    time.sleep(1000)


def after(folder: Path) -> None:
    """What is run after an end; from the second one on, it has another one kept."""
    if len((folder / "told").read_text().split()) > 1:
        keeping.forget(NAME)
        keeping.keep(NAME, memory("after"))
        keeping.settle()


def systemd(folder: Path) -> None:
    """Start systemd as a user's manager: it has the same code for units as the system's."""
    for words in (("mount", "-t", "tmpfs", "none", "/run"), ("mount", "-t", "proc", "none", "/proc")):
        subprocess.run(words, check=True)
    subprocess.run(("umount", "-l", "/sys/fs/cgroup"), check=False, capture_output=True)
    subprocess.run(("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"), check=True)
    (RUN / "systemd/system").mkdir(parents=True)  # it looks here whether systemd runs the machine
    units = RUN / "units"
    units.mkdir()
    (units / "basic.target").write_text("[Unit]\nDescription=Always active\n")
    (units / "default.target").symlink_to("basic.target")
    ourselves = f"{sys.executable} {Path(__file__).resolve()}"
    (units / "keeper.service").write_text(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nNotifyAccess=exec\nFileDescriptorStoreMax=4\nRestart=always\n"
        f"RestartSec=0\nExecStart={ourselves} daemon {folder}\nExecStopPost={ourselves} after {folder}\n"
    )
    os.environ |= {"XDG_RUNTIME_DIR": str(RUN), "HOME": str(RUN), "SYSTEMD_UNIT_PATH": str(units)}
    os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
    with subprocess.Popen([SYSTEMD, "--user"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as manager:
        wait(lambda: ask("is-active", "basic.target") == "active")
        ask("start", "keeper.service")
        told = folder / "told"
        for number in (1, 2, 3):
            wait(lambda number=number: told.is_file() and len(told.read_text().split()) == number)
            ask("kill", "--signal=KILL", "--kill-whom=main", "keeper.service")
        manager.kill()  # an orderly end needs units that are not here


def ask(*words: str) -> str:
    """Ask that systemd."""
    done = subprocess.run(("systemctl", "--user", *words), capture_output=True, text=True, check=False)
    return done.stdout.strip()


def wait(what: object, seconds: float = 60) -> None:
    """Wait until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator] # a function
        if time.monotonic() > end:
            raise SystemExit("it did not happen in time")
        time.sleep(0.05)


if __name__ == "__main__":
    {"daemon": daemon, "after": after, "systemd": systemd}[sys.argv[1]](Path(sys.argv[2]))
