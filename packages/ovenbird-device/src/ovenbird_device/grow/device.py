"""Which disk and partition data lives on, and telling the kernel and ext4 that the partition has grown.

Sources: sysfs (Documentation/ABI/stable/sysfs-block), linux/blkpg.h, ext4's on-disk superblock.
"""

import array
import fcntl
import struct
from pathlib import Path

import msgspec

from ..facts import hardware, parse

_BLKPG = 0x1269
_RESIZE_PARTITION = 3
_PARTITION = struct.Struct("@qqi64s64s")  # blkpg_partition: start, length in bytes, number, two unused names
_ARGUMENT = struct.Struct("@iiiP")  # blkpg_ioctl_arg: operation, flags, length, pointer
_SUPERBLOCK, _SUPERBLOCK_SIZE = 1024, 1024
_EXT_MAGIC = 0xEF53


class GrowError(Exception):
    """Growing is not possible here; the message is for people."""


class Place(msgspec.Struct, frozen=True):
    """A partition on its disk. Sectors have 512 bytes, as everywhere in sysfs."""

    disk: Path
    disk_sectors: int
    partition: Path
    number: int
    start: int
    sectors: int


def locate(mounts: str, point: str, system: Path, devices: Path) -> Place:
    """The partition that is mounted at `point`, given the text of /proc/self/mountinfo.

    Raises GrowError when that is no ext4 on a partition of a disk with sectors of 512 bytes.
    """
    mount = next((one for one in reversed(parse.mounts(mounts)) if one.point == point), None)
    if mount is None or mount.kind != "ext4":
        raise GrowError(f"{point} is not an ext4 file system")
    folder = (system / "dev/block" / mount.device).resolve()
    number = _integer(folder / "partition")
    if number is None:
        raise GrowError(f"{point} is not on a partition of a disk")
    disk = folder.parent
    if _integer(disk / "queue/logical_block_size") not in (None, 512):
        raise GrowError(f"{disk.name} has sectors of another size than 512 bytes")
    start, sectors, whole = _integer(folder / "start"), _integer(folder / "size"), _integer(disk / "size")
    if start is None or sectors is None or whole is None:
        raise GrowError(f"the kernel does not tell how large {disk.name} is")
    return Place(_node(disk, devices), whole, _node(folder, devices), number, start, sectors)


def _node(folder: Path, devices: Path) -> Path:
    """The device node of a block device's folder in sysfs (whose name has `!` for `/`)."""
    return devices / folder.name.replace("!", "/")


def _integer(path: Path) -> int | None:
    text = hardware.text(path)
    return int(text) if text.isascii() and text.isdigit() else None


def resize_partition(disk: int, number: int, start: int, size: int) -> None:
    """Tell the kernel a mounted partition's new size; `start` and `size` in bytes. Raises OSError."""
    partition = array.array("B", _PARTITION.pack(start, size, number, b"", b""))
    address, length = partition.buffer_info()
    fcntl.ioctl(disk, _BLKPG, _ARGUMENT.pack(_RESIZE_PARTITION, 0, length, address))


def file_system_size(superblock: bytes) -> int | None:
    """Bytes that an ext4 file system covers, from its superblock; None for anything else."""
    if len(superblock) < 0x154 or int.from_bytes(superblock[0x38:0x3A], "little") != _EXT_MAGIC:
        return None
    exponent = int.from_bytes(superblock[0x18:0x1C], "little")
    if exponent > 6:
        return None
    blocks = int.from_bytes(superblock[0x4:0x8], "little")
    if int.from_bytes(superblock[0x60:0x64], "little") & 0x80:  # INCOMPAT_64BIT: the upper half counts
        blocks |= int.from_bytes(superblock[0x150:0x154], "little") << 32
    return blocks << (10 + exponent)


def read_superblock(partition: Path) -> bytes:
    """The ext4 superblock of a partition. Raises OSError."""
    with partition.open("rb") as file:
        file.seek(_SUPERBLOCK)
        return file.read(_SUPERBLOCK_SIZE)


def resize_file_system(partition: Path) -> None:
    """Grow the mounted ext4 to its partition. Journaled: a power cut leaves the old or the new size.

    Raises GrowError with what resize2fs said.
    """
    import subprocess  # hardly ever

    try:
        done = subprocess.run(
            ["resize2fs", str(partition)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise GrowError("resize2fs is not in this image (package e2fsprogs)") from error
    if done.returncode != 0:
        raise GrowError(f"resize2fs failed: {(done.stderr or done.stdout).strip()[-400:]}")
