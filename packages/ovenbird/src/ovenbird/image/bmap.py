"""The block map beside a disk image: which blocks matter, with a checksum for each run of them.

Format: bmap 2.0 of Yocto's bmaptool, so that `bmaptool copy` writes our images quickly and checks what it reads.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import ImageError
from ovenbird.image.disk import BLOCK, DiskMap

_HEAD = """<?xml version="1.0" ?>
<!-- Which blocks of the disk image have to be written; all others are unused. Format: bmap 2.0, for bmaptool. -->
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {block} </BlockSize>
    <BlocksCount> {blocks} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
"""
_TAIL = """    </BlockMap>
</bmap>
"""
_CHUNK = 1 << 20
_LARGEST = 16 << 20
"""Bytes of the largest map that is read; a line of it has less than 120."""
_RANGE = re.compile(r'<Range chksum="([0-9a-f]{64})"> *(\d{1,12})(?: *- *(\d{1,12}))? *</Range>')


@dataclass(frozen=True, slots=True)
class BlockMap:
    """What a map says: the image's size in bytes, and (first, last, sha256) of each run of blocks that matters."""

    size: int
    ranges: tuple[tuple[int, int, str], ...]


def write_bmap(out: Path, disk: DiskMap) -> None:
    """Write the block map of a disk image. Its own checksum is that of its text with zeros in the checksum's place."""
    lines: list[str] = []
    with disk.image.open("rb") as image:
        for first, last in disk.ranges:
            place = str(first) if first == last else f"{first}-{last}"
            checksum = _sum(image.fileno(), first * BLOCK, min((last + 1) * BLOCK, disk.size))
            lines.append(f'        <Range chksum="{checksum}"> {place} </Range>\n')
    head = _HEAD.format(
        size=disk.size,
        block=BLOCK,
        blocks=-(-disk.size // BLOCK),
        mapped=sum(last - first + 1 for first, last in disk.ranges),
        checksum="0" * 64,
    )
    text = head + "".join(lines) + _TAIL
    out.write_text(text.replace("0" * 64, hashlib.sha256(text.encode("ascii")).hexdigest(), 1), encoding="ascii")


def _sum(number: int, start: int, end: int) -> str:
    digest = hashlib.sha256()
    while start < end:
        data = os.pread(number, min(_CHUNK, end - start), start)
        digest.update(data)
        start += len(data)
    return digest.hexdigest()


def read_bmap(file: Path) -> BlockMap:
    """Read a map with blocks of 4096 bytes and sha256, as ours are. Raises ImageError for another or a damaged one."""
    where = str(file)
    if file.stat().st_size > _LARGEST:
        raise ImageError("the map is far too large", where=where)
    try:
        text = file.read_bytes().decode("ascii")
    except UnicodeDecodeError as error:
        raise ImageError("the map is damaged: it is not ASCII text", where=where) from error
    own = _value(text, "BmapFileChecksum", r"[0-9a-f]{64}")
    if own is None or _value(text, "ChecksumType", r"\w+") != "sha256":
        raise ImageError("this is no block map with sha256 (bmap 2.0)", where=where)
    if hashlib.sha256(text.replace(own, "0" * 64, 1).encode("ascii")).hexdigest() != own:
        raise ImageError("the map is damaged: it has not the checksum that it should have", where=where)
    size, block = _value(text, "ImageSize", r"\d{1,18}"), _value(text, "BlockSize", r"\d{1,9}")
    if size is None or block != str(BLOCK):
        raise ImageError(f"the map has no size, or other blocks than of {BLOCK} bytes", where=where)
    ranges = tuple((int(first), int(last or first), digest) for digest, first, last in _RANGE.findall(text))
    place = -1
    for first, last, _ in ranges:
        if not place < first <= last < -(-int(size) // BLOCK):
            raise ImageError("the map is damaged: its ranges are not in order, or not in the image", where=where)
        place = last
    if sum(last - first + 1 for first, last, _ in ranges) != int(_value(text, "MappedBlocksCount", r"\d{1,12}") or -1):
        raise ImageError("the map is damaged: it has not as many blocks as it says", where=where)
    return BlockMap(int(size), ranges)


def _value(text: str, name: str, pattern: str) -> str | None:
    found = re.search(rf"<{name}> *({pattern}) *</{name}>", text)
    return found[1] if found else None
