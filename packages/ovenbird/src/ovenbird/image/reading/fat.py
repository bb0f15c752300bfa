"""FAT file systems (boot and select partitions), read by mtools at their place in the image."""

from __future__ import annotations

from ovenbird.image.reading.programs import output
from ovenbird.image.reading.region import Region


def _image(region: Region) -> str:
    return f"{region.path.resolve()}@@{region.offset}"


def names(region: Region) -> list[str]:
    """The paths of all files, such as `grub/grub.cfg`, sorted; folders are left out. ImageError if it is damaged."""
    listing = output(
        ["mdir", "-i", _image(region), "-/", "-a", "-b", "::"], where=str(region.path), what="the FAT file system"
    )
    paths = [line.removeprefix("::/") for line in listing.decode("utf-8", "surrogateescape").splitlines()]
    return sorted(path for path in paths if path and not path.endswith("/"))


def read(region: Region, name: str) -> bytes:
    """The content of one file. ImageError if it cannot be read."""
    return output(["mcopy", "-i", _image(region), f"::/{name}", "-"], where=str(region.path), what=name)


def read_all(region: Region) -> dict[str, bytes]:
    """Every file with its content; these file systems are small."""
    return {name: read(region, name) for name in names(region)}
