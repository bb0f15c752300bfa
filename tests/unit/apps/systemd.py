"""Run in a mount namespace of its own: a real systemd, with apps that are started by hand, and end.

    unshare --mount --pid --fork --kill-child python systemd.py REMEMBERED

Starts `app-known.service`, of which the file that the build writes (in REMEMBERED) tells the target, and
`app-other.service`, of which nothing tells. Prints what the agent makes of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ovenbird_device.services import systemd
from ovenbird_device.services.unit import service

SYSTEMD = "/lib/systemd/systemd"
APPS = ("app-known.service", "app-other.service")
RUN = Path("/run")


def run(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, capture_output=True, check=False)


def main(remembered: Path) -> None:
    """Start systemd as a user's manager: it has the same code for units as the system's."""
    for words in (("mount", "-t", "tmpfs", "none", "/run"), ("mount", "-t", "proc", "none", "/proc")):
        subprocess.run(words, check=True)
    run("umount", "-l", "/sys/fs/cgroup")
    subprocess.run(("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"), check=True)
    (RUN / "systemd/system").mkdir(parents=True)  # it looks here whether systemd runs the machine
    units = RUN / "units"
    (units / "basic.target.d").mkdir(parents=True)
    (units / "basic.target").write_text("[Unit]\nDescription=Always active, as multi-user.target is\n")
    (units / "default.target").symlink_to("basic.target")
    (units / "basic.target.d/apps.conf").write_text(remembered.read_text())
    for name in APPS:
        (units / name).write_text("[Service]\nType=exec\nExecStart=/bin/sh -c 'exit 7'\nSuccessExitStatus=7\n")
    (RUN / "systemctl").write_text('#!/bin/sh\nexec /usr/bin/systemctl --user "$@"\n')
    (RUN / "systemctl").chmod(0o755)
    os.environ |= {"XDG_RUNTIME_DIR": str(RUN), "HOME": str(RUN), "SYSTEMD_UNIT_PATH": str(units)}
    os.environ["PATH"] = f"{RUN}:{os.environ['PATH']}"
    os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
    with subprocess.Popen([SYSTEMD, "--user"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as manager:
        end = time.monotonic() + 60
        while run("systemctl", "is-active", "basic.target").returncode:
            if time.monotonic() > end or manager.poll() is not None:
                raise SystemExit("systemd did not start")
            time.sleep(0.1)
        for name in APPS:
            subprocess.run(("systemctl", "start", name), check=True)
        for name in APPS:
            while not run("systemctl", "is-active", name).returncode:
                time.sleep(0.1)
        time.sleep(1)
        told = systemd.show_now(APPS)
        for name in APPS:
            one = service(told[name], time.monotonic())
            print(name, one.state, one.exit or "nothing", sep=": ")
        manager.kill()  # an orderly end needs units that are not here


if __name__ == "__main__":
    main(Path(sys.argv[1]))
