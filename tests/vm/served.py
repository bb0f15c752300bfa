"""The installed boot server on a network of its own, with images that the test has made."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovenbird.build.store import cache_folder
from tests.vm.wire import SERVER, Machine, Wire, wire, with_mac

BOOK = """\
[server]
interface = "br0"
{server}
[all]
image = "thin"
[client.desk-1]
mac = "52-54-00-AA-00-01"
zram = 25
command_line = ["ovenbird.rdp=main:10.0.0.2;spare:10.0.0.3"]
overlays = ["http://10.77.0.1:8080/one", "http://10.77.0.1:8080/two"]
[[client.desk-1.display]]
connector = "HDMI-A-1"
mode = "1280x720"
"""
URL = f"http://{SERVER}:8080"
PROGRAM = ("env", f"OVENBIRD_CACHE={cache_folder()}", str(Path(sys.executable).with_name("ovenbird")), "serve")


@dataclass
class Lab:
    """The server on its network."""

    wire: Wire
    state: Path
    process: subprocess.Popen[bytes] | None = None

    def ovenbird(self, *words: str | Path) -> str:
        """Run a verb of `ovenbird serve` to its end, in the network."""
        return self.wire.run(*PROGRAM, *words, "--state", self.state, check=False)

    def start(self, server: str = "", *options: str) -> None:
        """Start the server, and wait until it answers."""
        (self.state / "serve.toml").write_text(BOOK.format(server=server))
        self.process = self.wire.start(*PROGRAM, "--state", self.state, *options, log="serve.log")
        end = time.monotonic() + 90
        while "the page is" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.1)

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self.wire.folder / "serve.log").read_text()

    def stop(self) -> None:
        """Ctrl-C: it ends well, and nothing is left."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0, self.log
        assert "Traceback" not in self.log
        assert not self.wire.run("ss", "-Hlun", "sport = :69").strip()
        self.process = None

    def clients(self) -> dict[str, Any]:
        """The live list by hardware addresses."""
        return {one["mac"]: one for one in json.loads(self.wire.curl(f"{URL}/clients"))["clients"]}

    def boot(self, name: str, kind: Sequence[str], mac: str, program: str = "qemu-system-x86_64") -> Machine:
        """Switch a machine on."""
        return self.wire.client(name, *with_mac(kind, mac), program=program)


@contextmanager
def on_a_wire(folder: Path, outs: Sequence[Path]) -> Generator[Lab]:
    """A network with the server's machine, which has taken these builds in."""
    state = folder / "state"
    state.mkdir()
    with wire(folder) as net:
        made = Lab(net, state)
        for out in outs:
            assert "serving" in made.ovenbird("add", out)
        yield made
        if made.process is not None:
            made.stop()
