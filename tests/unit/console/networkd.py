"""Run in a network and mount namespace of its own: the real systemd-networkd and the real code that steers it.

    unshare --net --mount python networkd.py FOLDER

Prints the addresses of `eth0` after each step, a JSON list a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ovenbird_device.network import trial
from ovenbird_device.network.settings import parse

NETWORKD = "/lib/systemd/systemd-networkd"
IMAGE = "[Match]\nName=eth0\n\n[Network]\nAddress=10.7.7.7/24\nMulticastDNS=yes\n"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def addresses() -> list[str]:
    """Those of eth0 that somebody set."""
    found = json.loads(run("ip", "-json", "address", "show", "eth0"))[0]["addr_info"]
    return sorted(f"{one['local']}/{one['prefixlen']}" for one in found if one["scope"] == "global")


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        if time.monotonic() > end:
            raise SystemExit(f"it did not happen: {addresses()}")
        time.sleep(0.05)


def main(folder: Path) -> None:
    """Set up, and go through one change after the other."""
    run("mount", "-t", "tmpfs", "none", "/run")
    run("mount", "-t", "sysfs", "-o", "ro", "none", "/sys")  # networkd then does not wait for udev
    Path("/run/dbus").mkdir()
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    run("ip", "link", "set", "far", "up")
    run("dbus-daemon", "--system", "--fork", "--nopidfile")
    (folder / "sys/class/net/eth0/device").mkdir(parents=True)
    (folder / "sys/class/net/eth0/type").write_text("1\n")
    places = trial.Places(
        kept=folder / "kept",
        active=Path("/run/systemd/network"),
        note=folder / "pending.json",
        image=Path("/run/systemd/network/80-ovenbird.network"),
        system=folder / "sys",
    )
    places.active.mkdir(parents=True)
    places.image.write_text(IMAGE)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tools / "systemctl").chmod(0o755)
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    with subprocess.Popen([NETWORKD], stderr=subprocess.DEVNULL) as networkd:
        wait_for(lambda: addresses() == ["10.7.7.7/24"])
        print(json.dumps(addresses()))
        wanted = {"mode": "fixed", "addresses": "10.9.9.9/24 fd00::9/64", "gateways": "10.9.9.1", "dns": "10.9.9.1"}
        trial.apply(places, trial.begin(places, "eth0", parse(wanted), "me"))
        wait_for(lambda: "10.9.9.9/24" in addresses() and "fd00::9/64" in addresses())
        wait_for(lambda: "via 10.9.9.1" in run("ip", "route"))
        print(json.dumps(addresses()))
        assert trial.undo(places) is not None
        wait_for(lambda: addresses() == ["10.7.7.7/24"])
        print(json.dumps(addresses()))
        change = trial.begin(places, "eth0", parse(wanted | {"addresses": "10.9.9.8/24"}), "me")
        trial.apply(places, change)
        trial.keep(places, change.id)
        wait_for(lambda: addresses() == ["10.9.9.8/24"])
        print(json.dumps(addresses()))
        networkd.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
