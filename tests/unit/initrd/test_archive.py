"""The initrd as an archive: the same bytes again, and what the kernel and init expect to find in it."""

from __future__ import annotations

import io
import lzma
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ovenbird.image import initrd
from ovenbird_device.format import cpio

SHELL = {"echo", "printf", "read", "test", "kill", "busybox"}  # of busybox's shell, or busybox by its own name
VERSION = "6.99.0-made-up"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A made-up kernel's modules, and something in the place of busybox."""
    modules = tmp_path / "modules"
    for name, content in {"fs/squashfs": b"s" * 500, "drivers/virtio_blk": b"v" * 500, "drivers/virtio": b"r"}.items():
        file = modules / f"kernel/{name}.ko.xz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(lzma.compress(content))
    (modules / "modules.dep").write_text(
        "kernel/fs/squashfs.ko.xz:\nkernel/drivers/virtio_blk.ko.xz: kernel/drivers/virtio.ko.xz\n"
        "kernel/drivers/virtio.ko.xz:\n"
    )
    (modules / "modules.alias").write_text("alias virtio:d00000002v* virtio_blk\n")
    (tmp_path / "busybox").write_bytes(b"a static program")
    return tmp_path


def make(sources: Path, out: Path, *wanted: str) -> bytes:
    initrd.write_initrd(
        out,
        kernel_version=VERSION,
        modules=sources / "modules",
        busybox=sources / "busybox",
        wanted=wanted,
        epoch=1_700_000_000,
    )
    return out.read_bytes()


def unpack(packed: bytes) -> dict[str, tuple[cpio.Entry, bytes]]:
    archive = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    return {member.entry.name: (member.entry, member.all(1 << 20)) for member in cpio.read(io.BytesIO(archive))}


def test_the_same_inputs_give_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    first = make(sources, tmp_path / "first", "squashfs", "virtio_blk")
    for file in sources.rglob("*"):
        file.touch()
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()
    assert make(sources, elsewhere / "second", "squashfs", "virtio_blk") == first


def test_init_console_and_programs_are_there(sources: Path, tmp_path: Path) -> None:
    files = unpack(make(sources, tmp_path / "initrd", "squashfs"))
    entry, content = files["init"]
    assert stat.S_IMODE(entry.mode) == 0o755
    assert content.startswith(b"#!/bin/busybox sh\n")
    console = files["dev/console"][0]
    assert stat.S_ISCHR(console.mode)
    assert console.device == (5, 1)
    assert files["bin/mount"][1] == b"busybox"
    assert all(entry.uid == entry.gid == 0 and entry.mtime == 1_700_000_000 for entry, _ in files.values())


def test_modules_are_unpacked_into_one_folder_with_an_index(sources: Path, tmp_path: Path) -> None:
    files = unpack(make(sources, tmp_path / "initrd", "squashfs", "virtio_blk", "unknown"))
    folder = f"lib/modules/{VERSION}"
    assert files[f"{folder}/virtio_blk.ko"][1] == b"v" * 500
    assert files[f"{folder}/modules.dep"][1].decode() == "squashfs.ko:\nvirtio.ko:\nvirtio_blk.ko: virtio.ko\n"
    assert files[f"{folder}/modules.alias"][1].decode() == "alias virtio:d00000002v* virtio_blk\n"
    assert files["lib/modules/always"][1].split() == [b"squashfs"]
    assert files["lib/modules/devices"][1].split() == [b"squashfs", b"virtio", b"virtio_blk"]


def test_every_program_that_init_calls_is_linked() -> None:
    """The first word of a command that is neither of the shell nor a function of init's must be among the links."""
    text = initrd.INIT.read_text()
    functions = {line.partition("(")[0] for line in text.splitlines() if line.endswith("() {")}
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    code = re.sub(r"'[^'\n]*'|\"[^\"$\n]*\"", "", code).replace("exec ", "")
    code = re.sub(r"^ *[^()\n]+\)", "", code, flags=re.MULTILINE)  # the patterns of `case`
    starts = re.findall(r"(?:^|\$\(|&&|\|\|?|;|\bthen|\bdo|!) *([a-z_]+)(?= |$)", code, re.MULTILINE)
    called = {word for word in starts if shutil.which(word) or word in initrd.APPLETS} - functions - SHELL
    assert {"mount", "modprobe", "switch_root", "hexdump"} <= called
    assert called <= set(initrd.APPLETS), called - set(initrd.APPLETS)
