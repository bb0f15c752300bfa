"""Booting from the network for real: Debian's kernel in QEMU, the initrd of `netboot/`, a root from a server.

The network is QEMU's own: it has DHCP, a TFTP server, and leads to the loopback address of this machine. A boot takes a
few seconds, so each test has as much go wrong in one boot as there are ways to get up again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from ovenbird.image.initrd import write_initrd
from ovenbird.recipe.model import Base
from ovenbird.run import run
from ovenbird.vm.command import Kernel
from tests.httpd import Answer, serving
from tests.vm.tiny import BOARD, MIB, PATIENCE, Guest, Parts, machine, make_disk, make_parts, make_root

pytestmark = pytest.mark.vm
HOST = "10.0.2.2"  # this machine's loopback, as QEMU's network has it


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("netboot"), BOARD, Base(release="trixie"))


@pytest.fixture(scope="session")
def initrd(parts: Parts) -> Path:
    """That of `netboot/`, and a disk's driver as a recipe would add it."""
    out = parts.folder / "netboot-initrd"
    write_initrd(
        out,
        kernel_version=parts.files.version,
        modules=parts.files.modules,
        busybox=parts.files.busybox,
        wanted=(*BOARD.network_modules, "virtio_blk"),
        epoch=0,
    )
    assert out.stat().st_size < 3 * MIB
    return out


@pytest.fixture(scope="session")
def root(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A root with three MiB that no compression makes smaller, so that it takes a while."""
    out = make_root(parts, tmp_path_factory.mktemp("root") / "root", "1", state="var volatile\npersist /opt/app\n")
    noise = out.with_name("noise")
    noise.mkdir()
    (noise / "noise").write_bytes(os.urandom(3 * MIB))
    run(["mksquashfs", noise, out, "-quiet", "-no-progress", "-all-root"])
    return out.read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def command_line(root: bytes, url: str, *words: str) -> str:
    return " ".join(
        [
            "no_timer_check", "console=ttyS0", "panic=-1", "quiet", f"ovenbird.hash=sha256:{sha256(root)}",
            f"ovenbird.root={url}", *words,
        ]
    )  # fmt: skip


def booting(
    parts: Parts, initrd: Path, line: str, *extra: str, disks: Sequence[Path] = (), memory: str = "256M"
) -> AbstractContextManager[Guest]:
    return machine(Kernel(parts.files.kernel, initrd, line), disks, *extra, memory=memory)


def squashfs(folder: Path, files: dict[str, str]) -> bytes:
    tree = folder / f"tree-{sha256(repr(files).encode())[:8]}"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    out = tree.with_suffix(".squashfs")
    run(["mksquashfs", tree, out, "-noappend", "-quiet", "-no-progress", "-all-root", "-comp", "zstd"])
    return out.read_bytes()


def tar(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            member.uid, member.gid, member.mode = 33, 33, 0o640
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def test_everything_goes_wrong_once_and_it_comes_up(parts: Parts, initrd: Path, root: bytes, tmp_path: Path) -> None:
    swapped = b"\0" * len(root)
    damaged = bytearray(root)
    damaged[len(root) // 2] ^= 1
    first = squashfs(tmp_path, {"etc/app/conf": "first\n", "srv/first": "1\n", "srv/both": "first\n"})
    second = gzip.compress(tar({"srv/both": "second\n", "srv/second": "2\n"}))
    third = lzma.compress(tar({"srv/third": "3\n"}))
    homes = squashfs(tmp_path, {"user/file": "from the server\n"})
    half = len(root) // 2
    answers = {
        "/root": [
            Answer(swapped),
            Answer(bytes(damaged)),
            Answer(root, cut=half),
            Answer(root, status=503),
            Answer(root),
        ],
        "/os/first": [Answer(status=404), Answer(homes), Answer(first)],
        "/second.tar.gz": [Answer(second)],
        "/third.tar.xz": [Answer(third, cut=20), Answer(third)],
        "/home": [Answer(homes)],
    }
    with serving(answers) as (port, site, _):
        url = f"http://{HOST}:{port}"
        overlays = ";".join(
            [
                f"{url}/os/first#sha256={sha256(first)}",
                f"second.tar.gz#sha256={sha256(second)}",
                f"third.tar.xz#sha256={sha256(third)}",
            ]
        )
        words = (
            f"ovenbird.overlays={overlays}", f"ovenbird.home={url}/home#sha256={sha256(homes)}",
            "ovenbird.data=tmpfs:8M", "ovenbird.zram=25:lz4", f"ovenbird.size={len(root)}",
        )  # fmt: skip
        with booting(parts, initrd, command_line(root, f"{url}/root", *words)) as guest:
            boot = guest.up()
            said = guest.console
            assert said.count(f"not {sha256(root)}: it was damaged, or another one lies there. It is not used.") == 2
            assert sha256(swapped) in said
            assert sha256(bytes(damaged)) in said
            assert f"The connection ended after {half >> 10} of {len(root) >> 10} KiB." in said
            assert "server returned error: HTTP/1.1 503" in said
            assert "server returned error: HTTP/1.1 404" in said
            assert f"Its SHA-256 is {sha256(homes)}, not {sha256(first)}" in said
            # What had arrived before the cut was not sent again.
            assert [one.range for one in site.of("/root")][-1] == f"bytes={half}-"
            assert site.of("/root")[-1].sent == len(root) - half
            # What runs now.
            assert (boot["network"], boot["slot"], boot["data"], boot["var"]) == ("1", "net", "tmpfs", "volatile")
            assert boot["root"] == f"{url}/root"
            assert boot["overlays"].split(";")[1] == f"{url}/second.tar.gz#sha256={sha256(second)}"
            assert boot["home"] == f"{url}/home#sha256={sha256(homes)}"
            assert "lz4" in boot["swap"]
            mounts = {line.split()[1]: line.split() for line in guest.ask("cat /proc/mounts").splitlines()}
            assert {mounts[path][2] for path in ("/", "/etc", "/var", "/home", "/root", "/opt/app")} == {"overlay"}
            assert mounts["/"][3].startswith("ro,")
            assert (mounts["/data"][2], "size=8192k" in mounts["/data"][3]) == ("tmpfs", True)
            assert (
                guest.ask("cat /srv/both /srv/first /srv/second /srv/third /etc/app/conf") == "second\n1\n2\n3\nfirst"
            )
            assert guest.ask("stat -c %u:%g:%a /srv/second") == "33:33:640"
            assert guest.ask("cat /home/user/file; ls /var/lib") == "from the server\ndpkg\nof-1\nthing"
            assert guest.ask("grep -c zram0 /proc/swaps") == "1"
            # Written, and full: an error and no more.
            guest.ask("for path in /etc /var /home/user /root /opt/app; do echo x >$path/written || exit 1; done")
            assert "No space left on device" in guest.ask("cat /dev/zero >/var/fill || true")
            assert guest.ask("cat /etc/written /sys/class/net/eth0/operstate") == "x\ndown"
            assert "DHCP=yes" in guest.ask("cat /run/systemd/network/30-ovenbird-diskless.network")


def test_no_answer_for_a_while_then_tls_and_a_fixed_address(
    parts: Parts, initrd: Path, root: bytes, tmp_path: Path
) -> None:
    certificate = tmp_path / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
            "/CN=test", "-days", "2", "-keyout", certificate, "-out", tmp_path / "certificate",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + (tmp_path / "certificate").read_text())
    with serving({"/root": [Answer(root)]}, certificate=certificate) as (port, _, _):
        line = command_line(
            root, f"https://{HOST}:{port}/root", "ovenbird.data=zram:32M", "BOOTIF=01-52-54-00-12-34-99"
        )
        with booting(parts, initrd, line) as guest:
            with guest.control() as control:
                control.execute("set_link", name="net", up=False)
            guest.wait_for("No DHCP server answers: eth0 .*no cable or no link", PATIENCE)
            with guest.control() as control:
                control.execute("set_link", name="net", up=True)
            boot = guest.up()
            assert boot["network"] == "1"
            assert "eth0 has 10.0.2.15/24, router 10.0.2.2, name server 10.0.2.3" in guest.console
            # The tiny image has nothing to make a file system with.
            assert boot["data"] == "tmpfs"
            assert "a tmpfs takes its place" in boot["notes"]
            guest.power_cut()
            words = ("ip=10.0.2.99::10.0.2.2:255.255.255.0::eth0:none:10.0.2.3", "ovenbird.zram=0")
            guest.boot_with(
                Kernel(parts.files.kernel, initrd, command_line(root, f"https://{HOST}:{port}/root", *words))
            )
            boot = guest.up()
            assert (boot["data"], boot["swap"]) == ("tmpfs", "")
            network = guest.ask("cat /run/systemd/network/05-ovenbird-boot.network")
            assert "PermanentMACAddress=52:54:00:12:34:56" in network
            assert "Address=10.0.2.99/24\nGateway=10.0.2.2\nDNS=10.0.2.3" in network


def test_too_little_memory_is_said_with_numbers_and_tftp_boots(
    parts: Parts, initrd: Path, root: bytes, tmp_path: Path
) -> None:
    large = Answer(root, length=400 * MIB)
    answers = {"/root": [large]}
    with ExitStack() as stack:
        port, _, _ = stack.enter_context(serving(answers))
        with booting(parts, initrd, command_line(root, f"http://{HOST}:{port}/root")) as guest:
            told = guest.wait_for(
                r"It has 400 MiB and wants 46\d MiB of free memory, but this machine has (\d+) MiB", PATIENCE
            )
            assert 150 < int(told[1]) < 256
            guest.wait_for("Trying again in", PATIENCE)
            answers["/root"][:] = [Answer(root)]
            guest.up()
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/root").write_bytes(root)
    second = (
        "-netdev",
        f"user,id=tftp,net=10.0.3.0/24,tftp={tmp_path / 'boot'}",
        "-device",
        "virtio-net-pci,netdev=tftp",
    )
    # Two networks, of which one is asked; a disk with data is in the machine.
    disk = make_disk(tmp_path / "disk.img", None)
    run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "data", "-E", f"offset={20 * MIB}", disk, "16384"])
    line = command_line(root, "tftp://10.0.3.2/root", "ip=eth1:dhcp", "ovenbird.data=local:16M")
    with booting(parts, initrd, line, *second, disks=[disk]) as guest:
        boot = guest.up()
        assert boot["root"] == "tftp://10.0.3.2/root"
        assert "eth1 has 10.0.3.15/24" in guest.console
        assert (boot["data"], boot["data_device"], boot["etc"]) == ("ok", "/dev/vda8", "fresh")
        guest.ask("echo kept >/etc/kept; echo kept >/home/user/kept")
        guest.put_away()
        guest.power_on()
        boot = guest.up()
        assert (boot["data"], boot["etc"]) == ("ok", "kept")
        assert guest.ask("cat /etc/kept /home/user/kept") == "kept\nkept"


def test_without_a_hash_nothing_boots_and_a_dead_server_is_waited_for(parts: Parts, initrd: Path, root: bytes) -> None:
    with serving({"/root": [Answer(root, cut=100_000), Answer(root)]}) as (port, _, stop):
        line = command_line(root, f"http://{HOST}:{port}/root")
        without = line.replace("ovenbird.hash=", "nothing=")
        with booting(parts, initrd, without) as guest:
            guest.wait_for("THIS MACHINE DOES NOT BOOT", PATIENCE)
            guest.wait_for("does not say what it has to be", 10)
            assert guest.wait_off(60)
            guest.boot_with(Kernel(parts.files.kernel, initrd, f"{line} ovenbird.debug"))
            begin = guest.wait_for("debug shell: before the root is mounted", PATIENCE).end()
            time.sleep(1)
            guest.type("ip link show eth0; exit\n")
            guest.wait_for("link/ether 52:54", PATIENCE, since=begin)
            begin = guest.wait_for("The connection ended after 97 of", PATIENCE, since=begin).end()
            stop()
            guest.wait_for("debug shell: fetching failed", PATIENCE, since=begin)
            time.sleep(1)
            guest.type("exit\n")
            guest.wait_for("cannot connect to remote host|Connection refused", PATIENCE, since=begin)
            with serving({"/root": [Answer(root)]}, port=port) as (_, again, _):
                begin = guest.wait_for("debug shell: the root is mounted", PATIENCE, since=begin).end()
                time.sleep(1)
                guest.type("exit\n")
                guest.up()
                assert again.of("/root")[0].range == "bytes=100000-"


def test_a_disks_root_runs_from_memory(parts: Parts, root: bytes, tmp_path: Path) -> None:
    file = tmp_path / "root"
    file.write_bytes(root)
    disk = make_disk(tmp_path / "disk.img", file)
    words = "ovenbird.slot=a ovenbird.root=/dev/vda4 ovenbird.data=/dev/vda8 ovenbird.toram"
    line = f"no_timer_check console=ttyS0 panic=-1 quiet gpt ovenbird.hash=sha256:{sha256(root)} {words}"
    with machine(Kernel(parts.files.kernel, parts.initrd, line), [disk]) as guest:
        boot = guest.up()
        assert (boot["network"], boot["data"], boot["var"]) == ("0", "ok", "volatile")
        mounts = {one.split()[1]: one.split() for one in guest.ask("cat /proc/mounts").splitlines()}
        assert mounts["/"][0] == "/dev/loop0"
