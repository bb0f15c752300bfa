"""The block map beside a disk image: which blocks matter, with a checksum for each run of them.

Format: bmap 2.0 of Yocto's bmaptool, so that `bmaptool copy` writes our images quickly and checks what it reads.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

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
