"""The personal file on the card: there, whole, root's alone, on a file system that is still in order."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.flash.conftest import Card

from ovenbird.deliver.flash import source, writing
from ovenbird.deliver.flash.handover import handed_over
from ovenbird.errors import ImageError
from ovenbird.image.disk import BLOCK
from ovenbird.progress import QuietProgress
from ovenbird_device.format import personal

GIVEN = personal.Personal(hostname="kitchen", secrets={"keeper": {"token": "c2VjcmV0"}})


def data_of(whole: source.Source, disk: Path, folder: Path) -> Path:
    """The data partition of a written card, as a file."""
    begin, size = whole.names["data"]
    with disk.open("rb") as file:
        file.seek(begin)
        (folder / "data.img").write_bytes(file.read(size))
    return folder / "data.img"


def debugfs(data: Path, command: str) -> str:
    return subprocess.run(["debugfs", "-R", command, data], capture_output=True, text=True, check=True).stdout


def test_a_card_has_its_file_and_a_good_file_system(
    whole: source.Source, card: Callable[[int], Card], tmp_path: Path
) -> None:
    made = card(0)  # full of noise: what is not written would be seen
    with handed_over(whole, GIVEN) as ready:
        writing.write_card(ready, made.path, QuietProgress())
    data = data_of(whole, made.backing, tmp_path)
    subprocess.run(["e2fsck", "-f", "-n", data], check=True, capture_output=True)
    assert personal.load(debugfs(data, "cat ovenbird/personal.json").encode()) == GIVEN
    listed = debugfs(data, "stat ovenbird/personal.json")
    assert re.search(r"Mode: +0600", listed)
    assert re.search(r"User: +0 +Group: +0", listed)
    assert re.search(r"Mode: +0750", debugfs(data, "stat ovenbird"))


def test_the_rest_of_the_card_is_the_images(whole: source.Source, tmp_path: Path) -> None:
    with handed_over(whole, GIVEN) as ready:
        writing.write_file(ready, tmp_path / "out.img", QuietProgress())
        assert all(one.size % BLOCK == 0 and one.offset % BLOCK == 0 for one in ready.pieces)
        ends = [one.end for one in ready.pieces]
        assert all(end <= one.offset for end, one in zip(ends, ready.pieces[1:], strict=False))
    image, out = whole.image.read_bytes(), (tmp_path / "out.img").read_bytes()
    begin, size = whole.names["data"]
    assert out[:begin] == image[:begin]
    assert out[begin + size :] == image[begin + size :]
    assert out[begin : begin + size] != image[begin : begin + size]
    assert b"personal.json" not in image
    # Nothing of it is left on this machine.
    assert not list(Path("/dev/shm").glob("ovenbird-flash-*"))


def test_a_card_that_was_made_personal_becomes_another_ones(whole: source.Source, tmp_path: Path) -> None:
    with handed_over(whole, GIVEN) as ready:
        writing.write_file(ready, tmp_path / "one.img", QuietProgress())
    with handed_over(source.whole(tmp_path / "one.img"), personal.Personal(hostname="attic")) as ready:
        writing.write_file(ready, tmp_path / "two.img", QuietProgress())
    data = data_of(whole, tmp_path / "two.img", tmp_path)
    subprocess.run(["e2fsck", "-f", "-n", data], check=True, capture_output=True)
    assert personal.load(debugfs(data, "cat ovenbird/personal.json").encode()).hostname == "attic"


def test_a_file_system_that_cannot_take_it_is_told(image: Path, tmp_path: Path) -> None:
    whole = source.whole(image)
    begin, size = whole.names["data"]
    broken = tmp_path / "broken.img"
    broken.write_bytes(image.read_bytes())
    with broken.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(BLOCK))
    with pytest.raises(ImageError, match="personal file cannot be put"), handed_over(source.whole(broken), GIVEN):
        raise AssertionError(size)


def test_pieces_of_another_area_take_the_place_of_the_maps(whole: source.Source) -> None:
    """An area may begin and end inside of pieces: what is left of them has no checksum any more."""
    first = whole.pieces[0]
    begin, size = first.offset + BLOCK, BLOCK
    other = source.Piece(whole.image, 0, begin, BLOCK)
    changed = whole.instead(begin, size, [other])
    assert [one.offset for one in changed.pieces[:3]] == [first.offset, begin, begin + BLOCK]
    assert [one.sha256 for one in changed.pieces[:3]] == [None, None, None]
    assert changed.bytes == whole.bytes
