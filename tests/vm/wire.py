"""A network of its own for boot servers and their clients: a bridge in a network namespace, and machines plugged in.

Nothing leaves it. The test's machine is on it as 10.77.0.1; a router in a namespace of its own, with the real dnsmasq
for DHCP, is 10.77.0.2. Clients are QEMU's, each with a tap interface; their consoles go to files.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SERVER, ROUTER, BRIDGE = "10.77.0.1", "10.77.0.2", "br0"
PATIENCE = 300.0
"""Seconds for a boot on a busy machine."""


@dataclass
class Wire:
    """The network."""

    folder: Path
    pid: int
    taps: int = 0
    stack: ExitStack = field(default_factory=ExitStack)

    def inside(self, *words: str | Path, pid: int | None = None) -> list[str]:
        """A command as it is run in the network's namespace."""
        own = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(pid or self.pid), *own, "--net", "--", *(str(word) for word in words)]

    def run(self, *words: str | Path, pid: int | None = None, check: bool = True) -> str:
        """Run a command to its end; returns what it printed."""
        done = subprocess.run(self.inside(*words, pid=pid), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0 or not check, done
        return done.stdout + done.stderr

    def curl(self, *words: str) -> str:
        """What curl prints."""
        return self.run("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *words)

    def start(self, *words: str | Path, pid: int | None = None, log: str) -> subprocess.Popen[bytes]:
        """Start a command that is ended with the network; its output goes to a file of that name."""
        with (self.folder / log).open("wb") as out:
            process = subprocess.Popen(
                self.inside(*words, pid=pid), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        self.stack.callback(end, process)
        return process

    def tap(self) -> str:
        """A new interface on the bridge for a client."""
        name = f"tap{self.taps}"
        self.taps += 1
        self.run("ip", "tuntap", "add", name, "mode", "tap")
        self.run("ip", "link", "set", name, "master", BRIDGE, "up")
        return name

    def router(self, *options: str) -> None:
        """A DHCP server that is there already, as another machine of the network."""
        router = self.stack.enter_context(_namespace(nested=self))
        self.run("ip", "link", "add", "to-router", "type", "veth", "peer", "name", "eth0", "netns", str(router))
        self.run("ip", "link", "set", "to-router", "master", BRIDGE, "up")
        self.run("ip", "address", "add", f"{ROUTER}/24", "dev", "eth0", pid=router)
        self.run("ip", "link", "set", "eth0", "up", pid=router)
        words = ("dnsmasq", "--keep-in-foreground", "--port=0", "--user=root", "--interface=eth0", "--bind-interfaces")
        more = ("--dhcp-range=10.77.0.100,10.77.0.199,1h", "--dhcp-leasefile=/dev/null", "--conf-file=/dev/null")
        self.start(*words, *more, "--log-dhcp", "--log-facility=-", *options, pid=router, log="router.log")

    def client(self, name: str, *words: str, program: str = "qemu-system-x86_64") -> Machine:
        """A machine that is switched on, with `words` for QEMU; its network device is `n`."""
        console = self.folder / f"{name}.console"
        plug = f"tap,id=n,ifname={self.tap()},script=no,downscript=no"
        base = ("-display", "none", "-monitor", "none", "-serial", f"file:{console}", "-netdev", plug)
        return Machine(console, self.start(program, *base, *words, log=f"{name}.log"))


@dataclass
class Machine:
    """A client."""

    file: Path
    process: subprocess.Popen[bytes]

    @property
    def console(self) -> str:
        """What it has said."""
        return self.file.read_text("utf-8", "replace") if self.file.exists() else ""

    def wait_for(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait until it says something; returns the rest of that line."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.console:
                rest = self.console.partition(text)[2]
                if "\n" in rest:
                    return rest.partition("\n")[0].strip()
            if self.process.poll() is not None and text not in self.console:
                break
            time.sleep(0.2)
        raise AssertionError(f"it never said {text!r}:\n{self.console[-3000:]}")

    def off(self) -> None:
        """Switch it off."""
        end(self.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may have ended."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()


@contextmanager
def _namespace(nested: Wire | None = None) -> Generator[int]:
    own = [] if os.geteuid() == 0 or nested is not None else ["--user", "--map-root-user"]
    words = ["unshare", *own, "--net", "sh", "-c", "echo up; exec sleep infinity"]
    command = words if nested is None else nested.inside(*words)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n", "there is no namespace of networks here"
        yield process.pid
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def wire(folder: Path) -> Generator[Wire]:
    """A network with nobody on it but this machine."""
    with _namespace() as pid, ExitStack() as stack:
        made = Wire(folder, pid, stack=stack)
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "link", "add", BRIDGE, "type", "bridge")
        made.run("ip", "address", "add", f"{SERVER}/24", "dev", BRIDGE)
        made.run("ip", "link", "set", BRIDGE, "up")
        yield made


# Without graphics SeaBIOS, and with it iPXE, speaks on the serial line; what has not booted tries again.
BIOS = (
    *("-machine", "q35,graphics=off", "-m", "256", "-vga", "none", "-cpu", "max,-cx16,-avx2"),
    *("-boot", "order=n,reboot-timeout=2000", "-device", "virtio-net-pci,netdev=n,mac={mac}"),
)
UEFI = (
    *("-machine", "q35", "-m", "512", "-cpu", "max,-cx16,-avx2"),
    *("-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"),
    *("-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"),
    *("-device", "virtio-net-pci,netdev=n,mac={mac},romfile="),
)
HTTP_ONLY = (
    *("-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"),
    *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"),
)
ARM64 = (
    *("-machine", "virt,gic-version=max", "-cpu", "cortex-a57", "-m", "512"),
    *("-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd"),
    *("-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/AAVMF/AAVMF_VARS.fd"),
    *("-device", "virtio-net-pci,netdev=n,mac={mac},romfile="),
)


def with_mac(words: Sequence[str], mac: str) -> list[str]:
    """QEMU's words for a machine with that hardware address."""
    return [word.replace("{mac}", mac) for word in words]
