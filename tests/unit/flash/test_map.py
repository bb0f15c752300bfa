"""Reading block maps: ours, and everything that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.deliver.flash import source
from ovenbird.errors import ImageError
from ovenbird.files import copy_sparse
from ovenbird.image.bmap import read_bmap


def signed(text: str) -> str:
    """A map's text with the checksum that it should have, where it says `SUM`."""
    zeros = text.replace("SUM", "0" * 64)
    return zeros.replace("0" * 64, hashlib.sha256(zeros.encode()).hexdigest(), 1)


def small(ranges: str, *, size: int = 40960, mapped: int = 2) -> str:
    return signed(
        "<BmapFileChecksum> SUM </BmapFileChecksum><ChecksumType> sha256 </ChecksumType>"
        f"<ImageSize> {size} </ImageSize><BlockSize> 4096 </BlockSize>"
        f"<MappedBlocksCount> {mapped} </MappedBlocksCount>{ranges}"
    )


def block(place: str) -> str:
    return f'<Range chksum="{"a" * 64}"> {place} </Range>'


def test_our_own_map_is_read(image: Path) -> None:
    found = read_bmap(image.with_suffix(".bmap"))
    assert found.size == image.stat().st_size
    content = image.read_bytes()
    for first, last, digest in found.ranges:
        assert hashlib.sha256(content[first * 4096 : (last + 1) * 4096]).hexdigest() == digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (small(block("3-4")).replace("3-4", "3-5"), "has not the checksum"),
        (small(block("4-3")), "not in order"),
        (small(block("3") + block("3")), "not in order"),
        (small(block("9-10")), "not in the image"),
        (small(block("1-3")), "not as many blocks"),
        (small(block("1-2")).replace("sha256", "sha1"), "no block map with sha256"),
        (signed(small(block("1-2")).replace("4096", "512")), "checksum|4096"),
        ("<bmap/>", "no block map"),
        ("\N{BIRD}", "not ASCII"),
    ],
)
def test_a_map_that_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.bmap").write_text(text)
    with pytest.raises(ImageError, match=said):
        read_bmap(tmp_path / "x.bmap")


def test_a_good_small_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.bmap").write_text(small(block("1") + block("9")))
    assert read_bmap(tmp_path / "x.bmap").ranges == ((1, 1, "a" * 64), (9, 9, "a" * 64))


@given(st.binary(max_size=300))
def test_noise_is_one_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.bmap"
    file.write_bytes(noise)
    with pytest.raises(ImageError):
        read_bmap(file)


def test_another_images_map_is_told(image: Path, tmp_path: Path) -> None:
    copy_sparse(image, tmp_path / "disk.img", image.stat().st_size + 4096)
    (tmp_path / "disk.bmap").write_bytes(image.with_suffix(".bmap").read_bytes())
    with pytest.raises(ImageError, match="the map is for an image of"):
        source.whole(tmp_path / "disk.img")


def test_what_is_no_disk_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "root.squashfs").write_bytes(b"hsqs" + bytes(8188))
    with pytest.raises(ImageError, match="squashfs image, not one of a whole disk"):
        source.whole(tmp_path / "root.squashfs")
    (tmp_path / "odd.img").write_bytes(bytes(5000))
    with pytest.raises(ImageError, match="no whole blocks"):
        source.whole(tmp_path / "odd.img")
