"""A tiny system for the initrd: Debian's kernel started directly, and a root whose init is a shell on its console."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from ovenbird import boards
from ovenbird.base.apt import Index
from ovenbird.base.sources import source_lines
from ovenbird.boards.board import Board
from ovenbird.build.kernel import BUSYBOX, KernelFiles, unpack_kernel
from ovenbird.build.store import Store, cache_folder
from ovenbird.image.initrd import write_initrd
from ovenbird.recipe.model import Base
from ovenbird.run import run
from ovenbird.vm.command import Boot, Kernel, Settings
from ovenbird.vm.machine import Machine
from ovenbird_device.format import gpt
from ovenbird_device.format.sectors import SECTOR

BOARD = boards.board("vm")
LINUX_FILES = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
ROOT_ID = UUID("aaaaaaaa-1111-4222-8333-44444444abcd")
DATA_ID = UUID("bbbbbbbb-1111-4222-8333-44444444abcd")
MIB = 1 << 20
PATIENCE = 120.0  # seconds for one boot on a busy machine
INIT = """\
#!/bin/sh
exec </dev/console >/dev/console 2>&1
stty -echo
printf 'root is %s\\n' up
while read -r line; do
    if [ "$line" != again ]; then
        eval "$line" >/run/said 2>&1
        code=$?
    fi
    cat /run/said
    echo "ended with $code, said $(wc -c </run/said)"
done
"""
STATE = "var persistent\npersist /etc/app\npersist /opt/app\npersist /srv/not-there\n"


@dataclass(frozen=True)
class Parts:
    """What a boot needs, made once: a kernel, its initrd, and the programs of the root."""

    folder: Path
    files: KernelFiles
    initrd: Path
    e2fsck: Path


def make_parts(folder: Path, board: Board, base: Base, more: Sequence[str] = ()) -> Parts:
    """From the board's packages and `more`."""
    index = Index.at(cache_folder(), source_lines(base), board.architecture, base.keyrings)
    index.refresh()
    wanted = {*board.kernel_packages, *more, BUSYBOX, "e2fsck-static"}
    packages = index.resolve(sorted(wanted), only=lambda name: name in wanted or name.startswith("linux-image-"))
    out, unpacked = folder / "kernel", folder / "unpacked"
    out.mkdir(parents=True)
    unpacked.mkdir()
    with Store(cache_folder()).in_use(), index.archives(packages) as archives:
        files = unpack_kernel(out, packages, archives, unpacked, board.models)
    e2fsck = next(path for path in unpacked.rglob("e2fsck.static") if path.is_file())
    initrd = folder / "initrd"
    write_initrd(
        initrd,
        kernel_version=files.version,
        modules=files.modules,
        busybox=files.busybox,
        wanted=board.initrd_modules,
        epoch=0,
    )
    return Parts(folder, files, initrd, e2fsck)


def make_root(parts: Parts, out: Path, version: str, state: str = STATE) -> Path:
    """A root image: busybox, e2fsck, and what the state is made from."""
    tree = out.with_name(f"{out.name}.tree")
    for folder in ("bin", "sbin", "proc", "sys", "dev", "run", "data", "boot", "tmp"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(parts.files.busybox, tree / "bin/busybox")
    shutil.copy(parts.e2fsck, tree / "sbin/e2fsck")
    for applet in (
        "sh",
        "cat",
        "ls",
        "stty",
        "mount",
        "umount",
        "sync",
        "cut",
        "grep",
        "stat",
        "md5sum",
        "mkdir",
        "chmod",
        "wc",
    ):
        (tree / "bin" / applet).symlink_to("busybox")
    contents = {
        "sbin/init": INIT,
        "usr/lib/ovenbird/state": state,
        "etc/app/conf": f"image {version}\n",
        "etc/version": f"{version}\n",
        "var/lib/dpkg/status": f"packages of {version}\n",
        "var/lib/thing/seed": f"image {version}\n",
        f"var/lib/of-{version}/file": f"{version}\n",
        "home/user/file": f"{version}\n",
        "root/.profile": f"{version}\n",
        "opt/app/file": f"{version}\n",
    }
    for name, text in contents.items():
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tree / "sbin/init").chmod(0o755)
    run(["mksquashfs", tree, out, "-noappend", "-quiet", "-no-progress", "-all-root", "-comp", "zstd"])
    return out


def make_disk(out: Path, root: Path | None, *, entries_at: int = 2, damaged: bool = False, data_size: int = 64) -> Path:
    """A disk with a root and a data partition (MiB); with `damaged`, the primary partition table is unreadable."""
    sectors = (32 + data_size) * MIB // SECTOR
    table = gpt.Table(
        UUID(int=1),
        (
            gpt.Partition(4, "root-a", LINUX_FILES, ROOT_ID, 2048, 2048 + 16 * 2048 - 1),
            gpt.Partition(8, "data", LINUX_FILES, DATA_ID, 20 * 2048, (20 + data_size) * 2048 - 1),
        ),
        sectors,
        entries_at,
    )
    with out.open("wb") as disk:
        disk.truncate(sectors * SECTOR)
        disk.write(gpt.protective_mbr())
        for write in (*gpt.primary(table), *gpt.backup(table)):
            disk.seek(write.offset)
            disk.write(write.data)
        if damaged:
            disk.seek(SECTOR)
            disk.write(bytes(40 * SECTOR))
        if root is not None:
            disk.seek(table.named("root-a").offset)
            disk.write(root.read_bytes())
    data = table.named("data")
    run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-E", f"offset={data.offset}", out, str(data.size // 4096)])
    return out


class Guest(Machine):
    """A machine whose root is a shell on the serial line."""

    def up(self) -> dict[str, str]:
        """Wait for the shell; what the initrd left in /run/ovenbird/boot."""
        self.wait_for("^root is up$", PATIENCE)
        return dict(line.split("=", 1) for line in self.ask("cat /run/ovenbird/boot").splitlines())

    def ask(self, command: str) -> str:
        """Run a command in the guest and return what it prints. It must succeed.

        On a busy machine the emulated serial line says a character twice now and then: the guest tells how long its
        answer is, and says it again.
        """
        for _ in range(20):
            begin = len(self.console)
            self.type(command + "\n")
            ended = self.wait_for(r"^e+n+d+e+d+ .*$", PATIENCE, since=begin)
            output = self.console[begin : ended.start()]
            told = re.fullmatch(r"ended with (\d+), said (\d+)", ended[0])
            if told and int(told[2]) == len(output.encode()):
                assert told[1] == "0", output
                return output.strip("\n")
            command = "again"
        raise AssertionError(f"the line slips each time: {self.console[-3000:]}")

    def put_away(self) -> None:
        """Leave data in order, as a shutdown does, and switch off."""
        self.ask("sync; mount -o remount,ro /data")
        self.power_cut()

    def boot_with(self, kernel: Kernel) -> None:
        """Switch on with another command line."""
        self.settings = replace(self.settings, kernel=kernel)
        self.power_on()


@contextmanager
def machine(
    kernel: Kernel, disks: Sequence[Path], *extra: str, reboots: bool = False, memory: str = "256M"
) -> Generator[Guest]:
    settings = Settings(BOARD.virtual, Boot.KERNEL, kernel, memory=memory, reboots=reboots, extra=extra)
    with Guest(settings, disks, growth=0) as guest:
        yield guest
