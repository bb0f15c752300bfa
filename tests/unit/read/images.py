"""Small images, made by the real tools, for the tests of their readers."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ovenbird.image.boot import write_boot
from ovenbird.image.fat import write_fat
from ovenbird_device.format import cpio, gpt, selector
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import State

MIB = 1 << 20
EPOCH = 1_700_000_000
SIZES = {"bios": 1, "select": 8, "boot-a": 8, "root-a": 4, "boot-b": 8, "root-b": 4, "data": 2}
TYPE = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
STATUS = """\
Package: base-files
Status: install ok installed
Installed-Size: 100
Architecture: amd64
Version: 13.8
Description: one
 Version: not this one

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: hello
Status: install ok installed
Architecture: amd64
Version: {hello}
"""
IMAGE = '{{"name": "hello", "version": "{version}", "board": "vm", "architecture": "amd64"}}'
KERNEL = bytearray(4096)
KERNEL[0x202:0x206] = b"HdrS"
KERNEL[0x20E:0x210] = (0x400).to_bytes(2, "little")
KERNEL[0x600:0x618] = b"6.12.1-test (someone) #1"


def squash(folder: Path, out: Path) -> Path:
    """Pack a folder as the build does."""
    command: list[str | Path] = [
        "mksquashfs",
        folder,
        out,
        "-noappend",
        "-quiet",
        "-no-progress",
        "-comp",
        "zstd",
        "-all-root",
    ]
    subprocess.run([*command, "-mkfs-time", str(EPOCH), "-all-time", str(EPOCH)], check=True, stdout=subprocess.DEVNULL)
    return out


def tree(folder: Path, *, version: str = "1.0", hello: str = "2.10") -> Path:
    """A tree that looks like Debian's."""
    files = {
        "var/lib/dpkg/status": STATUS.format(hello=hello),
        "var/lib/dpkg/info/hello.list": "/.\n/bin\n/bin/hello\n/usr/share/hello\n",
        "var/lib/dpkg/info/base-files:amd64.list": "/usr/lib/os-release\n",
        "usr/lib/os-release": 'PRETTY_NAME="Test 1"\n',
        "usr/lib/ovenbird/image.json": IMAGE.format(version=version),
        "usr/bin/hello": "h" * 1000,
        "usr/share/hello": "hello\n" * 10,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755 if "bin" in path.parts else 0o644)
    (folder / "bin").symlink_to("usr/bin")
    return folder


def initrd(out: Path, *, note: str = "") -> Path:
    """A packed initrd."""
    plain = out.with_suffix(".cpio")
    with plain.open("wb") as file, cpio.Writer(file, mtime=EPOCH) as writer:
        writer.directory("lib/modules/6.12.1-test")
        writer.file("lib/modules/6.12.1-test/overlay.ko", b"module")
        writer.file("init", b"#!/bin/sh\n" + note.encode(), 0o755)
        writer.link("bin", "usr/bin")
    subprocess.run(["zstd", "-qf", plain, "-o", out], check=True)
    return out


def boot(folder: Path, *, root: Path, note: str = "") -> Path:
    """A boot partition that names a root's hash."""
    (folder / "kernel").write_bytes(KERNEL)
    out = folder / "boot.vfat"
    digest = hashlib.sha256(root.read_bytes()).hexdigest()
    write_boot(
        out,
        kernel=folder / "kernel",
        initrd=initrd(folder / "initrd", note=note),
        cmdline=f"quiet ovenbird.hash=sha256:{digest}",
        size=SIZES["boot-a"] * MIB,
        epoch=EPOCH,
    )
    return out


def disk(out: Path, parts: dict[str, Path], state: State | None = None) -> Path:
    """A disk with these partitions; the others stay empty."""
    block = selector.encode(state or State())
    select = out.with_suffix(".select")
    write_fat(select, dict.fromkeys(selector.COPIES, block), size=SIZES["select"] * MIB, label="SELECT", epoch=EPOCH)
    partitions: list[gpt.Partition] = []
    at = gpt.FIRST_USABLE
    for number, (name, size) in enumerate(SIZES.items(), 1):
        last = at + size * MIB // SECTOR - 1
        partitions.append(gpt.Partition(number, name, TYPE, UUID(int=number), at, last))
        at = last + 1
    table = gpt.Table(UUID(int=99), tuple(partitions), at + gpt.FIRST_USABLE)
    with out.open("wb") as file:
        file.write(gpt.protective_mbr())
        for write in (*gpt.primary(table), *gpt.backup(table)):
            file.seek(write.offset)
            file.write(write.data)
        for name, content in {"select": select, **parts}.items():
            file.seek(table.named(name).offset)
            file.write(content.read_bytes())
    return out


@dataclass(frozen=True)
class Images:
    """One build's outputs."""

    folder: Path
    root: Path
    boot: Path
    disk: Path


def build(folder: Path, *, version: str = "1.0", hello: str = "2.10", state: State | None = None) -> Images:
    """A whole set of outputs in a new folder."""
    folder.mkdir()
    root = squash(tree(folder / "tree", version=version, hello=hello), folder / "root.squashfs")
    boot_image = boot(folder, root=root, note=version)
    image = disk(folder / "disk.img", {"boot-a": boot_image, "root-a": root}, state)
    return Images(folder, root, boot_image, image)
