"""A network of the test's own: a network namespace with a bridge, machines plugged into it, and programs run in it.

Nothing of it reaches a real network. Root makes the namespace as it is, others in a namespace of users of their own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.machine import Machine

BRIDGE = "br0"


@dataclass(frozen=True)
class Lan:
    """The namespace, by the process that keeps it."""

    keeper: int

    def inside(self, *words: str | Path) -> list[str]:
        """The words that run a program in it."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.keeper), "--net", *user, "--", *map(str, words)]

    def run(
        self, *words: str | Path, env: Mapping[str, str] | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it to its end."""
        return subprocess.run(
            self.inside(*words),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
        )

    def plug(self, name: str) -> None:
        """A new end of a cable, plugged into the bridge."""
        script = f"ip tuntap add {name} mode tap && ip link set {name} master {BRIDGE} && ip link set {name} up"
        done = self.run("sh", "-c", script)
        assert done.returncode == 0, done.stderr


class Plugged(Machine):
    """A machine whose network is a cable into the bridge, and whose address is its own."""

    lan: Lan
    cable: str

    def words(self, disks: Sequence[tuple[Path, str]], accelerator: Accelerator) -> list[str | Path]:
        """The words that start QEMU in the namespace."""
        words = super().words(disks, accelerator)
        words[words.index("-netdev") + 1] = f"tap,id=net,ifname={self.cable},script=no,downscript=no"
        return [*self.lan.inside(), *words]


@contextmanager
def lan(address: str) -> Generator[Lan]:
    """A network in which this machine has that address (with its prefix length)."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    words = ["unshare", *user, "--net", "sh", "-c", "echo ready; exec sleep infinity"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == "ready\n"
            made = Lan(keeper.pid)
            script = "; ".join(
                (
                    "ip link set lo up",
                    f"ip link add {BRIDGE} type bridge",
                    f"ip link set {BRIDGE} up",
                    f"ip address add {address} dev {BRIDGE}",
                )
            )
            done = made.run("sh", "-ec", script)
            assert done.returncode == 0, done.stderr
            yield made
        finally:
            keeper.kill()
