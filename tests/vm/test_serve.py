"""The boot server with the real dnsmasq and real firmware, on a network of its own: what each kind of machine ends in.

Their kernel is a real one, their initrd a shell that says what it was told and switches off; the root is only fetched.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ovenbird import boards
from ovenbird.base.apt import Index
from ovenbird.base.sources import source_lines
from ovenbird.build.kernel import kernel_packages, unpack_kernel
from ovenbird.build.store import Store, cache_folder
from ovenbird.recipe.model import Base
from ovenbird.run import run
from tests.unit.serve.making import make_out
from tests.vm.wire import ARM64, BIOS, HTTP_ONLY, SERVER, UEFI, Machine, Wire, wire, with_mac

pytestmark = pytest.mark.vm

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo "CMDLINE $(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
"""
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


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as builds leave them: `1.0`, `1.1`, and `arm` for the other processor."""
    folder = tmp_path_factory.mktemp("outs")
    for name, architecture, console in (("vm", "amd64", "ttyS0"), ("vm-arm64", "arm64", "ttyAMA0")):
        board = boards.board(name)
        index = Index.at(cache_folder(), source_lines(Base()), board.architecture, Base().keyrings)
        index.refresh()
        packages = kernel_packages(board, index)
        parts, unpacked = folder / f"parts-{name}", folder / f"unpacked-{name}"
        parts.mkdir()
        unpacked.mkdir()
        with Store(cache_folder()).in_use(), index.archives(packages) as archives:
            files = unpack_kernel(parts, packages, archives, unpacked)
        kernel, initrd = files.kernel.read_bytes(), make_initrd(files.busybox)
        for version in ("1.0", "1.1") if architecture == "amd64" else ("1.0",):
            make_out(
                folder / (version if architecture == "amd64" else "arm"),
                "thin" if architecture == "amd64" else "thin-arm",
                version,
                architecture="amd64" if architecture == "amd64" else "arm64",
                kernel=kernel,
                initrd=initrd,
                root=b"hsqs" + version.encode() * 1_000_000,
                line=f"console={console} panic=-1",
            )
    return folder


def make_initrd(busybox: Path) -> bytes:
    """A shell that says what it was told."""
    folder = busybox.parent / "initrd"
    for name in ("bin", "proc", "dev"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/busybox").write_bytes(busybox.read_bytes())
    (folder / "bin/busybox").chmod(0o755)
    (folder / "init").write_text(INIT)
    (folder / "init").chmod(0o755)
    packed = folder.with_suffix(".gz")
    with packed.open("wb") as out:
        run(["sh", "-c", "find . | cpio --quiet --create --format=newc | gzip -1"], cwd=folder, stdout=out)
    return packed.read_bytes()


@dataclass
class Lab:
    """The server on its network."""

    wire: Wire
    state: Path
    outs: Path
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


PROGRAM = ("env", f"OVENBIRD_CACHE={cache_folder()}", str(Path(sys.executable).with_name("ovenbird")), "serve")


@pytest.fixture
def lab(outs: Path, tmp_path: Path) -> Generator[Lab]:
    """A network with the server's machine; image 1.0 and the one for arm64 are there."""
    state = tmp_path / "state"
    state.mkdir()
    with wire(tmp_path) as net:
        made = Lab(net, state, outs)
        for name in ("1.0", "arm"):
            assert "serving" in made.ovenbird("add", outs / name)
        yield made
        if made.process is not None:
            made.stop()


def test_beside_a_dhcp_server_each_firmware_boots(lab: Lab) -> None:
    """Two offers for everybody: an address from the router, what to boot from us. BIOS by its own ROM, and by our
    undionly.kpxe as a ROM without HTTP gets it; UEFI by TFTP; UEFI by HTTP; UEFI of arm64. All at once.
    """
    lab.wire.router()
    lab.start()
    undi = (*BIOS, "-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-append", f"dhcp && chain tftp://{SERVER}/undionly.kpxe")
    machines = {
        "01": lab.boot("bios", BIOS, "52:54:00:aa:00:01"),
        "02": lab.boot("undi", undi, "52:54:00:aa:00:02"),
        "03": lab.boot("uefi", UEFI, "52:54:00:aa:00:03"),
        "04": lab.boot("http", (*UEFI, *HTTP_ONLY), "52:54:00:aa:00:04"),
        "05": lab.boot("arm64", ARM64, "52:54:00:aa:00:05", "qemu-system-aarch64"),
    }
    said = {number: machine.wait_for("CMDLINE ") for number, machine in machines.items()}
    roots = {number: line.partition("ovenbird.root=")[2].split()[0] for number, line in said.items()}
    assert all(f"{URL}/images/thin/" in roots[number] for number in ("01", "02", "03", "04"))
    assert f"{URL}/images/thin-arm/" in roots["05"]
    assert said["01"].endswith(
        f" ovenbird.overlays={URL}/one;{URL}/two ovenbird.zram=25 BOOTIF=01-52-54-00-aa-00-01 systemd.hostname=desk-1"
        " video=HDMI-A-1:1280x720 ovenbird.rdp=main:10.0.0.2;spare:10.0.0.3"
    )
    assert lab.wire.curl("--range", "0-3", roots["01"]) == "hsqs"
    clients = lab.clients()
    for number in machines:
        client = clients[f"52:54:00:aa:00:{number}"]
        assert client["stage"] == "kernel", client
        assert client["address"].startswith("10.77.0.1"), client
        assert client["image"] == ("thin-arm" if number == "05" else "thin")
    assert clients["52:54:00:aa:00:01"]["name"] == "desk-1"
    lab.stop()


def test_alone_it_gives_addresses_and_images_are_swapped(lab: Lab) -> None:
    """Full DHCP, BIOS by PXELINUX, UEFI by HTTP; the next boot has the new image, and after a rollback the old one."""
    pxelinux = (*BIOS, "-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-append", f"dhcp && chain tftp://{SERVER}/lpxelinux.0")
    lab.start('dhcp = "full"\nbios = "pxelinux"\n')
    line = lab.boot("first", pxelinux, "52:54:00:aa:00:01").wait_for("CMDLINE ")
    assert "systemd.hostname=desk-1" in line
    old = line.partition("/images/thin/")[2][:16]
    assert "serving thin 1.1" in lab.ovenbird("add", lab.outs / "1.1")
    line = lab.boot("second", (*UEFI, *HTTP_ONLY), "52:54:00:aa:00:04").wait_for("CMDLINE ")
    new = line.partition("/images/thin/")[2][:16]
    assert new != old
    assert lab.clients()["52:54:00:aa:00:04"]["version"] == "1.1"
    # Whoever still runs from the former one reads on.
    assert lab.wire.curl("--range", "0-3", f"{URL}/images/thin/{old}/root.squashfs") == "hsqs"
    assert "serving thin 1.0" in lab.ovenbird("rollback")
    line = lab.boot("third", BIOS, "52:54:00:aa:00:07").wait_for("CMDLINE ")
    assert line.partition("/images/thin/")[2][:16] == old
    lab.stop()


def test_another_dhcp_server_is_seen_and_ports_are_explained(lab: Lab) -> None:
    """Full DHCP is refused unless forced; a port in use has its holder's name; without rights there is a remedy."""
    lab.wire.router()
    (lab.state / "serve.toml").write_text('[server]\ninterface = "br0"\n')
    said = lab.ovenbird("--dhcp", "full")
    assert "br0 already has a DHCP server: 10.77.0.2 offers 10.77.0.1" in said
    assert "--dhcp proxy" in said
    lab.start("", "--dhcp", "full", "--force")
    assert "HTTP cannot listen on TCP port 8080: it is in use by" in lab.ovenbird()
    assert "TFTP cannot listen on UDP port 69: it is in use by dnsmasq" in lab.ovenbird("--port", "8081")
    lab.stop()
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")
    done = lab.wire.run(*bare, *PROGRAM, "--state", lab.state, check=False)
    assert "TFTP may not listen on UDP port 69: no right to" in done
    assert "sudo " in done
    done = lab.wire.run(*bare, *PROGRAM, "--state", lab.state, "--port", "80", check=False)
    assert "sysctl net.ipv4.ip_unprivileged_port_start=80" in done
    assert "setcap cap_net_bind_service=+ep" in done
    assert "Traceback" not in done


def test_many_clients_at_once(lab: Lab) -> None:
    """As many as a network of this size and this machine take: twelve start together, the server is killed and started
    again in the middle, and each gets where it should.
    """
    lab.wire.router()
    lab.start()
    small = [word if word != "256" else "192" for word in BIOS]
    machines = [lab.boot(f"many{n}", small, f"52:54:00:bb:00:{n:02x}") for n in range(12)]
    machines[0].wait_for("Ovenbird: thin 1.0")
    assert lab.process is not None
    lab.process.send_signal(signal.SIGINT)
    lab.process.wait(30)
    lab.start()
    for machine in machines:
        assert f"ovenbird.root={URL}/images/thin/" in machine.wait_for("CMDLINE ")
    assert len([mac for mac in lab.clients() if mac.startswith("52:54:00:bb")]) == 12
    lab.stop()
