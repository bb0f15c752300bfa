"""The initrd for real: Debian's kernel in QEMU, started directly, and a tiny root whose init is a shell on its console.

What a boot did is asked in that shell. A boot takes a few seconds, so each test looks at as much as its boots show.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovenbird.recipe.model import Base
from ovenbird.vm.command import Boot, Kernel, Settings
from tests.vm.tiny import (
    BOARD,
    DATA_ID,
    MIB,
    PATIENCE,
    ROOT_ID,
    Guest,
    Parts,
    machine,
    make_disk,
    make_parts,
    make_root,
)

pytestmark = pytest.mark.vm

Booter = Callable[..., Kernel]


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    made = make_parts(tmp_path_factory.mktemp("trixie"), BOARD, Base(release="trixie"))
    assert made.initrd.stat().st_size < 2 * MIB
    return made


@pytest.fixture
def kernel(parts: Parts) -> Booter:
    def make(*words: str, slot: str = "a", hash_: str = "sha256:1", used: Parts = parts) -> Kernel:
        line = [
            "no_timer_check", "console=ttyS0", "panic=-1", "quiet", "gpt",
            f"ovenbird.slot={slot}", f"ovenbird.hash={hash_}",
            f"ovenbird.root=PARTUUID={ROOT_ID}", f"ovenbird.data=PARTUUID={DATA_ID}", *words,
        ]  # fmt: skip
        return Kernel(used.files.kernel, used.initrd, " ".join(line))

    return make


def write_into(disk: Path, offset: int, data: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_state_over_boots_updates_and_power_cuts(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root1", "1"))
    with machine(kernel(), [disk]) as guest:
        # The first boot: everything is fresh, and where it belongs.
        boot = guest.up()
        assert (boot["slot"], boot["etc"], boot["data"], boot["var"]) == ("a", "fresh", "ok", "persistent")
        assert (boot["root_device"], boot["data_device"]) == ("/dev/vda4", "/dev/vda8")
        assert int(boot["init_ms"]) < int(boot["switch_ms"])
        mounts = {line.split()[1]: line.split() for line in guest.ask("cat /proc/mounts").splitlines()}
        assert mounts["/"][2:4] == ["squashfs", "ro,relatime,errors=continue"]
        assert {mounts[path][2] for path in ("/data", "/var", "/home", "/root", "/opt/app")} == {"ext4"}
        assert mounts["/etc"][2] == "overlay"
        assert mounts["/var/lib/dpkg"][2] == "squashfs"
        assert {mounts[path][2] for path in ("/dev", "/proc", "/run", "/sys")} == {"devtmpfs", "proc", "tmpfs", "sysfs"}
        assert not [path for path in mounts if path.startswith(("/sysroot", "/held"))]
        assert "no such path" in boot["notes"]
        assert guest.ask("cat /etc/app/conf /var/lib/dpkg/status") == "image 1\npackages of 1"
        assert guest.ask("stat -c %t:%T /dev/console") == "5:1"
        # Life on the device, then an orderly end.
        guest.ask(
            "echo mine >/etc/app/conf; echo id >/etc/machine-id; mkdir -p /etc/ssh /etc/else; echo x >/etc/else/x"
        )
        guest.ask("echo key >/etc/ssh/ssh_host_key; chmod 600 /etc/ssh/ssh_host_key; chmod 700 /etc/ssh")
        guest.ask("echo mine >/var/lib/thing/own; echo mine >/home/user/file; echo mine >/opt/app/own")
        guest.put_away()
        # The same content again: all of it is there.
        guest.power_on()
        boot = guest.up()
        assert (boot["etc"], boot["data"]) == ("kept", "ok")
        assert (
            guest.ask("cat /etc/app/conf /etc/machine-id /etc/else/x /opt/app/own /home/user/file")
            == "mine\nid\nx\nmine\nmine"
        )
        guest.ask("echo written >/var/lib/thing/late; sync")
        guest.power_cut()  # without leaving data in order: its journal is played back
        # New content in the other slot.
        guest.export_disk(tmp_path / "saved.img")
    root2 = make_root(parts, tmp_path / "root2", "2")
    write_into(tmp_path / "saved.img", MIB, root2.read_bytes())
    with machine(kernel(slot="b", hash_="sha256:2"), [tmp_path / "saved.img"]) as guest:
        boot = guest.up()
        assert (boot["slot"], boot["etc"]) == ("b", "fresh")
        assert boot["data"] in ("ok", "repaired")
        assert "is being checked" in guest.console
        assert guest.ask("cat /etc/version /etc/app/conf /etc/machine-id /etc/ssh/ssh_host_key") == "2\nmine\nid\nkey"
        assert guest.ask("stat -c %a /etc/ssh /etc/ssh/ssh_host_key") == "700\n600"
        assert guest.ask("ls -1 /etc") == "app\nmachine-id\nssh\nversion"
        assert (
            guest.ask("cat /var/lib/dpkg/status /var/lib/thing/late /var/lib/of-2/file") == "packages of 2\nwritten\n2"
        )
        assert guest.ask("cat /data/slots/last /data/slots/a/content /data/slots/b/content") == "b\nsha256:1\nsha256:2"
        assert guest.ask("cat /data/slots/a/etc/else/x") == "x"


def test_data_that_cannot_be_repaired_is_left_alone(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1"), entries_at=34)
    garbage = bytes(range(256)) * (64 * MIB // 256)
    write_into(disk, 20 * MIB, garbage)
    with machine(kernel(), [disk]) as guest:
        boot = guest.up()
        assert (boot["data"], boot["etc"]) == ("degraded", "fresh")
        assert boot["data_reason"].startswith("/dev/vda8: e2fsck ended with 8: ")
        assert "Bad magic number in super-block" in boot["data_reason"]
        assert "The data partition cannot be used" in guest.console
        assert guest.ask(
            "echo works >/etc/x; echo works >/var/lib/x; echo works >/data/x; cat /etc/x /var/lib/x /data/x"
        ) == ("works\nworks\nworks")
        assert guest.ask("cat /home/user/file /opt/app/file") == "1\n1"
        guest.power_cut()
        guest.export_disk(tmp_path / "after.img")
    after = (tmp_path / "after.img").read_bytes()
    assert after[20 * MIB : 84 * MIB] == garbage


def test_a_lost_superblock_is_repaired_from_its_copy(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    # Above 128 MiB there is a copy; below, nothing could be repaired.
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1"), damaged=True, data_size=200)
    write_into(disk, 20 * MIB + 1024, b"\xa5" * 1024)
    with machine(kernel(), [disk]) as guest:
        boot = guest.up()
        assert (boot["data"], boot["data_device"]) == ("repaired", "/dev/vda8")
        guest.ask("echo fine >/data/x")


def test_volatile_var_memory_for_data_and_debug_shells(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    state = "var volatile\npersist /var/lib/thing\n"
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1", state))
    with machine(kernel(), [disk]) as guest:
        boot = guest.up()
        assert (boot["var"], boot["data"]) == ("volatile", "ok")
        assert guest.ask("cat /var/lib/dpkg/status /var/lib/thing/seed") == "packages of 1\nimage 1"
        guest.ask("echo gone >/var/lib/gone; echo kept >/var/lib/thing/kept")
        guest.put_away()
        guest.boot_with(kernel("ovenbird.debug"))
        begin = guest.wait_for("debug shell: before the root is mounted", PATIENCE).end()
        time.sleep(1)
        guest.type("ls -d /sysroot/etc; echo in the first\n")
        guest.wait_for("^in the first", PATIENCE, since=begin)
        guest.type("exit\n")
        begin = guest.wait_for("debug shell: the root is mounted", PATIENCE, since=begin).end()
        time.sleep(1)
        guest.type("cat /sysroot/etc/version; echo in the second; exit\n")
        guest.wait_for("^in the second", PATIENCE, since=begin)
        guest.up()
        assert guest.ask("ls -1 /var/lib; cat /var/lib/thing/kept") == "dpkg\nof-1\nthing\nkept"
        guest.power_cut()
        guest.boot_with(
            Kernel(parts.files.kernel, parts.initrd, kernel().cmdline.replace(f"PARTUUID={DATA_ID}", "tmpfs:64M"))
        )
        boot = guest.up()
        assert (boot["data"], boot["etc"]) == ("tmpfs", "fresh")
        assert "data /data tmpfs rw,relatime,size=65536k,mode=755" in guest.ask("cat /proc/mounts")


def test_a_missing_root_says_so_and_starts_again(kernel: Booter, tmp_path: Path) -> None:
    disk = tmp_path / "empty.img"
    disk.write_bytes(bytes(MIB))
    with machine(kernel("ovenbird.wait=1"), [disk]) as guest:
        guest.wait_for("THIS SLOT DOES NOT BOOT", PATIENCE)
        guest.wait_for(f"PARTUUID={ROOT_ID} did not appear within 1 seconds", 10)
        guest.wait_for("Disks that are here: vda", 10)
        begin = time.monotonic()
        assert guest.wait_off(30)  # the reboot ends this machine
        assert time.monotonic() - begin > 5


def test_a_root_that_is_none_says_why(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", None)
    write_into(disk, MIB, b"\x5a" * MIB)
    with machine(kernel(), [disk]) as guest:
        guest.wait_for("The root /dev/vda4 cannot be mounted", PATIENCE)
        assert guest.wait_off(30)


def test_two_disks_from_one_image_boot_with_root_and_data_of_one(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1"))
    with machine(kernel(), [disk, Path(shutil.copy(disk, tmp_path / "twin.img"))]) as guest:
        boot = guest.up()
        assert (boot["root_device"], boot["data_device"]) == ("/dev/vda4", "/dev/vda8")
        assert "more than once" in boot["notes"]


def test_the_watchdog_ends_a_machine_that_nobody_feeds(parts: Parts, kernel: Booter, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1"))
    with machine(kernel("ovenbird.watchdog=6"), [disk], "-device", "i6300esb") as guest:
        guest.up()
        assert "RuntimeWatchdogSec=6" in guest.ask("cat /run/systemd/system.conf.d/*")
        assert guest.wait_off(60)


def test_the_older_release_boots_too(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kernel: Booter) -> None:
    """Linux 6.1: other modules, other dependencies; and a disk behind SCSI, which only comes up with all modules."""
    parts = make_parts(tmp_path_factory.mktemp("bookworm"), BOARD, Base(release="bookworm"))
    disk = make_disk(tmp_path / "disk.img", make_root(parts, tmp_path / "root", "1"))
    settings = Settings(
        BOARD.virtual,
        Boot.KERNEL,
        kernel(used=parts),
        memory="256M",
        reboots=False,
        extra=(
            "-device", "virtio-scsi-pci", "-drive", f"if=none,id=scsi,format=raw,snapshot=on,file={disk}",
            "-device", "scsi-hd,drive=scsi",
        ),
    )  # fmt: skip
    with Guest(settings) as guest:
        boot = guest.up()
        assert (boot["root_device"], boot["data_device"], boot["data"]) == ("/dev/sda4", "/dev/sda8", "ok")
