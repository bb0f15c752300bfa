"""The boot server with the real dnsmasq and real firmware, on a network of its own: what each kind of machine ends in.

Their kernel is a real one, their initrd a shell that says what it was told and switches off; the root is only fetched.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from ovenbird import boards
from ovenbird.base.apt import Index
from ovenbird.base.sources import source_lines
from ovenbird.build.kernel import kernel_packages, unpack_kernel
from ovenbird.build.store import Store, cache_folder
from ovenbird.recipe.model import Base
from ovenbird.run import run
from tests.unit.serve.making import make_out
from tests.vm.served import URL, Lab, on_a_wire
from tests.vm.wire import ARM64, BIOS, HTTP_ONLY, SERVER, UEFI

pytestmark = pytest.mark.vm

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo "CMDLINE $(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
"""


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
                line=f"console={console} panic=-1 no_timer_check",  # a busy emulator is late with it
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


@pytest.fixture
def lab(outs: Path, tmp_path: Path) -> Generator[Lab]:
    """A network with the server's machine; image 1.0 and the one for arm64 are there."""
    with on_a_wire(tmp_path, (outs / "1.0", outs / "arm")) as made:
        yield made


def test_beside_a_dhcp_server_each_firmware_boots(lab: Lab) -> None:
    """Two offers for everybody: an address from the router, what to boot from us. BIOS by its own ROM, and by our
    undionly.kpxe as a ROM without HTTP gets it; UEFI by TFTP; UEFI by HTTP; UEFI of arm64.
    """
    lab.wire.router("--no-ping")
    lab.start()
    undi = (*BIOS, "-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-append", f"dhcp && chain tftp://{SERVER}/undionly.kpxe")
    kinds = {
        "01": (BIOS, "qemu-system-x86_64"),
        "02": (undi, "qemu-system-x86_64"),
        "03": (UEFI, "qemu-system-x86_64"),
        "04": ((*UEFI, *HTTP_ONLY), "qemu-system-x86_64"),
        "05": (ARM64, "qemu-system-aarch64"),
    }
    said: dict[str, str] = {}
    for number, (kind, program) in kinds.items():
        machine = lab.boot(f"client-{number}", kind, f"52:54:00:aa:00:{number}", program)
        said[number] = machine.wait_for("CMDLINE ")
        machine.off()
    roots = {number: line.partition("ovenbird.root=")[2].split()[0] for number, line in said.items()}
    assert all(f"{URL}/images/thin/" in roots[number] for number in ("01", "02", "03", "04"))
    assert f"{URL}/images/thin-arm/" in roots["05"]
    assert said["01"].endswith(
        f" ovenbird.overlays={URL}/one;{URL}/two ovenbird.zram=25 BOOTIF=01-52-54-00-aa-00-01 systemd.hostname=desk-1"
        " video=HDMI-A-1:1280x720 ovenbird.rdp=main:10.0.0.2;spare:10.0.0.3"
    )
    assert lab.wire.curl("--range", "0-3", roots["01"]) == "hsqs"
    clients = lab.clients()
    for number in kinds:
        client = clients[f"52:54:00:aa:00:{number}"]
        assert client["stage"] == "kernel", client
        assert client["address"].startswith("10.77.0.1"), client
        assert client["image"] == ("thin-arm" if number == "05" else "thin")
    assert clients["52:54:00:aa:00:01"]["name"] == "desk-1"
    lab.stop()


def test_alone_it_gives_addresses_and_images_are_swapped(lab: Lab, outs: Path) -> None:
    """Full DHCP, BIOS by PXELINUX, UEFI by HTTP; the next boot has the new image, and after a rollback the old one."""
    pxelinux = (*BIOS, "-kernel", "/usr/lib/ipxe/ipxe.lkrn", "-append", f"dhcp && chain tftp://{SERVER}/lpxelinux.0")
    lab.start('dhcp = "full"\nbios = "pxelinux"\n')
    line = lab.boot("first", pxelinux, "52:54:00:aa:00:01").wait_for("CMDLINE ")
    assert "systemd.hostname=desk-1" in line
    old = line.partition("/images/thin/")[2][:16]
    assert "serving thin 1.1" in lab.ovenbird("add", outs / "1.1")
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


def test_many_clients_at_once(lab: Lab) -> None:
    """As many as a network of this size and this machine take: six start together, the server is killed and started
    again in the middle, and each gets where it should.
    """
    lab.wire.router("--no-ping")
    lab.start()
    small = [word if word != "256" else "192" for word in BIOS]
    machines = [lab.boot(f"many{n}", small, f"52:54:00:bb:00:{n:02x}") for n in range(6)]
    machines[0].wait_for("Ovenbird: thin 1.0")
    assert lab.process is not None
    lab.process.send_signal(signal.SIGINT)
    lab.process.wait(30)
    lab.start()
    for machine in machines:
        assert f"ovenbird.root={URL}/images/thin/" in machine.wait_for("CMDLINE ")
    assert len([mac for mac in lab.clients() if mac.startswith("52:54:00:bb")]) == 6
    lab.stop()
