"""FAT images whose bytes depend on their content alone, made without root.

mkfs.vfat and mtools do the work; times, order and the volume's number are given, and a user's own mtools settings are
kept out.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ovenbird.errors import ImageError
from ovenbird.run import CommandError, run

MIB = 1 << 20
EARLIEST = 315532800
"""1980-01-01, before which FAT has no time."""


def write_fat(
    out: Path, files: Mapping[str, Path | bytes], *, size: int, label: str, epoch: int, bits: int = 16
) -> None:
    """Write a FAT file system of `size` bytes with these files (path on the volume -> content or file to copy).

    `bits` is 16 or 32; `epoch` is the time of every file, in seconds since 1970. Raises ImageError if they do not fit.
    """
    content = sum(_size(source) for source in files.values())
    too_large = ImageError(
        f"{label}: its files ({content} bytes) do not fit into {size} bytes",
        hint="make the partition larger in [disk] of the recipe",
    )
    if content > size:
        raise too_large
    times = {"SOURCE_DATE_EPOCH": str(max(epoch, EARLIEST)), "TZ": "UTC", "MTOOLSRC": "/dev/null"}
    out.unlink(missing_ok=True)
    with out.open("wb") as image:
        image.truncate(size)
    number = f"{int.from_bytes(_digest(files)[:4], 'big'):08x}"
    per_cluster = "1" if bits == 32 else str(_cluster16(size))
    command: list[str | Path] = [
        "mkfs.vfat",
        "--invariant",
        "-F",
        str(bits),
        "-s",
        per_cluster,
        "-i",
        number,
        "-n",
        label.upper(),
        out,
    ]
    run(command, env=times, what=f"making the file system {label}")
    try:
        _fill(out, files, times)
    except CommandError as error:
        if "isk full" in error.completed.stderr:
            raise too_large from error
        raise


def _fill(out: Path, files: Mapping[str, Path | bytes], times: Mapping[str, str]) -> None:
    folders = sorted({str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."})
    if folders:
        run(["mmd", "-i", out, *(f"::/{folder}" for folder in folders)], env=times)
    with tempfile.TemporaryDirectory(prefix="ovenbird-fat-") as scratch:
        for name, source in sorted(files.items(), key=lambda item: item[0].lower()):  # as FAT compares names
            if isinstance(source, bytes):
                file = Path(scratch) / "file"
                file.write_bytes(source)
            else:
                file = source
            run(["mcopy", "-o", "-i", out, file, f"::/{name}"], env=times, what=f"copying {name} into the image")


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _digest(files: Mapping[str, Path | bytes]) -> bytes:
    digest = hashlib.sha256()
    for name, source in sorted(files.items()):
        if isinstance(source, bytes):
            one = hashlib.sha256(source)
        else:
            with source.open("rb") as stream:
                one = hashlib.file_digest(stream, "sha256")
        digest.update(name.encode() + b"\0" + one.digest())
    return digest.digest()


def _cluster16(size: int) -> int:
    """Sectors per cluster for a FAT16 of `size` bytes: the smallest power of two that keeps it a FAT16."""
    count = 1
    while size // 512 // count > 65000:
        count *= 2
    if count > 64 or size < 4 * MIB:
        raise ImageError(f"a boot partition of {size} bytes is not possible; 4 MiB to 1 GiB are")
    return count
