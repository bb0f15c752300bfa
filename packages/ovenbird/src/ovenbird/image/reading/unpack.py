"""Unpacking the root or the initrd of an image into a new folder, and nowhere else.

Everything is written to a folder beside the wanted one, which takes its name at the end: a failure leaves nothing. Root
keeps owners and devices; an ordinary user gets every file as his own, without devices.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ovenbird.errors import ImageError, UsageError
from ovenbird.image.reading import fat, initrd
from ovenbird.image.reading.disk import Opened, boot_region
from ovenbird.image.reading.region import Content, Region, printable
from ovenbird.image.reading.squashfs import superblock
from ovenbird.run import CommandError, run
from ovenbird_device.format import cpio


@contextmanager
def _new_folder(folder: Path) -> Generator[Path]:
    """A folder to fill, which becomes `folder` at the end. UsageError if that is in the way."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError("is in the way, and is no folder", where=str(folder))
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", where=str(folder), hint="name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        inner = outer / "new"
        inner.mkdir()
        yield inner
        inner.rename(folder)
    finally:
        _remove(outer)


def _remove(folder: Path) -> None:
    for path, _, _ in os.walk(folder):  # Folders of an image may be closed to their new owner.
        Path(path).chmod(0o700)
    shutil.rmtree(folder)


def unpack_root(region: Region, folder: Path) -> list[str]:
    """Unpack a squashfs into `folder`. Returns notes on what could not be kept. ImageError if it is damaged."""
    superblock(region)
    privileged = os.geteuid() == 0
    with _new_folder(folder) as inner:
        command = ["unsquashfs", "-quiet", "-no-progress", "-force", "-offset", str(region.offset)]
        if not privileged:
            command.append("-user-xattrs")
        command += ["-dest", str(inner.resolve()), str(region.path.resolve())]
        done = run(command, check=False, what="unpacking the root")
        # 2 means that all was read but something, such as a device, could not be made.
        if done.returncode not in (0, 2) or (done.returncode == 2 and privileged):
            lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            if any("No space left on device" in line for line in lines):
                raise CommandError(done, "unpacking the root")
            reason = f" ({lines[-1]})" if lines else ""
            raise ImageError(f"the root image is damaged and cannot be unpacked{reason}", where=str(region.path))
    return [] if privileged else ["owners, devices and capabilities are not kept for an ordinary user"]


def unpack_initrd(opened: Opened, folder: Path, slot: str | None = None) -> list[str]:
    """Unpack the initrd of an image (a disk, a boot partition, or an initrd itself) into `folder`; else as above."""
    if opened.content is Content.INITRD:
        return _unpack_archive(opened.region, folder)
    beside = opened.region.path.with_name("initrd")
    if opened.content is Content.SQUASHFS and opened.path.is_dir() and beside.is_file():  # a folder `netboot/`
        return _unpack_archive(Region.whole(beside), folder)
    boot = boot_region(opened, slot)
    if "initrd" not in fat.names(boot):
        raise ImageError("the boot partition has no initrd", where=str(opened.path))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "initrd"
        file.write_bytes(fat.read(boot, "initrd"))
        return _unpack_archive(Region.whole(file), folder)


def _unpack_archive(region: Region, folder: Path) -> list[str]:
    privileged = os.geteuid() == 0
    devices = 0
    with _new_folder(folder) as inner:
        folders: dict[Path, int] = {inner: 0o755}
        for member in initrd.members(region):
            path = inner / member.entry.name
            if path == inner:
                continue
            _make_parents(path, folders, region)
            kind = stat.S_IFMT(member.entry.mode)
            if kind == stat.S_IFDIR:
                if path not in folders:
                    path.mkdir()
                folders[path] = member.entry.mode & 0o7777
            elif kind in (stat.S_IFCHR, stat.S_IFBLK) and not privileged:
                devices += 1
                continue
            else:
                _make(path, member, kind)
            if privileged:
                os.chown(path, member.entry.uid, member.entry.gid, follow_symlinks=False)
            if kind not in (stat.S_IFLNK, stat.S_IFDIR):
                path.chmod(member.entry.mode & 0o7777)
        for path, mode in reversed(folders.items()):
            path.chmod(mode)
    return [f"{devices} devices are left out: only root can make them"] if devices else []


def _make_parents(path: Path, folders: dict[Path, int], region: Region) -> None:
    """Make what leads to `path`. Only folders that were made here count: a link is never followed out of the tree."""
    missing: list[Path] = []
    parent = path.parent
    while parent not in folders:
        missing.append(parent)
        parent = parent.parent
    for one in reversed(missing):
        if one.is_symlink() or one.exists():
            name = printable(path.name)
            raise ImageError(f"the initrd is malicious: {name} would be written through a link", where=str(region.path))
        one.mkdir()
        folders[one] = 0o755
    if (path.is_symlink() or path.exists()) and path not in folders:
        path.unlink()  # The kernel takes the last of several members with one name.


def _make(path: Path, member: cpio.Member, kind: int) -> None:
    if kind == stat.S_IFLNK:
        path.symlink_to(os.fsdecode(member.all(4096)))
    elif kind == stat.S_IFREG:
        with path.open("xb") as file:
            while data := member.read():
                file.write(data)
    else:
        os.mknod(path, member.entry.mode, os.makedev(*member.entry.device))
