"""At each boot: `python3 -m ovenbird_device.grow` (root). Does nothing when nothing is to do, which is nearly always.

Three steps, each of which can be cut off at any byte and is done again at the next boot: the partition table (see
`rewrite` of `format.gpt` and of `format.mbr`), the kernel's idea of the partition, the file system. Never touches what
is in the files; a device that runs without its data is left alone.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..facts import boot
from ..format import FormatError, gpt, mbr
from ..format.sectors import SECTOR, Step
from . import device, table

_SLACK = 1 << 20  # a file system that is less than this smaller than its partition is left as it is


def main(arguments: Sequence[str] | None = None) -> int:
    """Grow if there is something to grow. Returns the exit code: 1 when it could not, with the reason printed."""
    parser = argparse.ArgumentParser(prog="ovenbird-grow", description="Lets data use the whole medium.")
    parser.add_argument("--data", default="/data")
    parser.add_argument("--note", type=Path, default=Path("/run/ovenbird/boot"))
    options = parser.parse_args(arguments)
    state = boot.read_note(options.note).data
    if state not in ("ok", "repaired"):
        print(f"ovenbird-grow: data is {state}, so the disk is left alone")
        return 0
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
        place = device.locate(mounts, options.data, Path("/sys"), Path("/dev"))
        grow(place)
    except (OSError, FormatError, device.GrowError) as error:
        print(f"ovenbird-grow: {error}", file=sys.stderr)
        return 1
    return 0


def grow(place: device.Place) -> None:
    """All three steps, each only if needed. Raises OSError, FormatError and GrowError."""
    disk = os.open(place.disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(disk, fcntl.LOCK_EX)  # systemd-udevd keeps its hands off a locked disk
        data, steps, identified = _changes(disk, place)
        if data.first != place.start:
            raise FormatError("the kernel sees data at another place than the table on the disk says")
        if steps:
            table.write(disk, steps)
            told = "new identifiers, " if identified else ""
            print(f"ovenbird-grow: partition table written: {told}data has {data.size >> 20} MiB")
        if data.sectors > place.sectors:
            device.resize_partition(disk, place.number, data.offset, data.size)
        size = max(data.size, place.sectors * SECTOR)
    finally:
        os.close(disk)
    covered = device.file_system_size(device.read_superblock(place.partition))
    if covered is None:
        raise device.GrowError(f"{place.partition} has no ext4 superblock")
    if size - covered >= _SLACK:
        device.resize_file_system(place.partition)
        print(f"ovenbird-grow: data has grown from {covered >> 20} to {size >> 20} MiB")


def _changes(disk: int, place: device.Place) -> tuple[gpt.Partition | mbr.Partition, tuple[Step, ...], bool]:
    """The data partition as it is to be, the writes that make it so (none if it is), and whether the disk gets new
    identifiers. Raises OSError, FormatError.
    """

    def read(offset: int, size: int) -> bytes:
        return os.pread(disk, size, offset)

    if mbr.is_mbr(read(0, SECTOR)):
        old = mbr.read(read, place.disk_sectors)
        renewed = table.renewed_mbr(old, place.number, place.disk_sectors)
        return renewed.numbered(place.number), mbr.rewrite(old, renewed), renewed.signature != old.signature
    found = gpt.read(read, place.disk_sectors)
    new = table.renewed(found, place.number, place.disk_sectors)
    steps = gpt.rewrite(found, new) if table.outdated(disk, found, new) else ()
    return new.named(table.DATA), steps, new.disk != found.table.disk


if __name__ == "__main__":
    sys.exit(main())
