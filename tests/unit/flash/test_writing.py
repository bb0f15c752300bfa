"""Writing cards: what is on them afterwards, what is not touched, and what is told when one fails."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.flash.conftest import NOISE, Card

from ovenbird.deliver.flash import source, writing
from ovenbird.errors import CardError, ImageError, UsageError
from ovenbird.files import copy_sparse
from ovenbird.image.disk import BLOCK
from ovenbird.image.layout import MIB
from ovenbird.progress import QuietProgress

Cards = Callable[[int], Card]


class Meddler:
    """Watches, and does something when a step begins."""

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self.name, self.act = name, act
        self.lines: list[str] = []

    @contextmanager
    def step(self, name: str) -> Generator[Meddler]:
        if name == self.name:
            self.act()
        yield self

    def line(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, done: int, total: int) -> None:
        raise AssertionError("it tells more than that")

    def note(self, text: str) -> None:
        self.lines.append(text)


def mapped(whole: source.Source) -> set[int]:
    """The numbers of all blocks that matter."""
    return {block for one in whole.pieces for block in range(one.offset // BLOCK, one.end // BLOCK)}


def test_a_card_holds_the_image_and_nothing_else_of_it_is_touched(whole: source.Source, card: Cards) -> None:
    made = card(3 * MIB + 512)
    done = writing.write_card(whole, made.path, QuietProgress())
    image, written = whole.image.read_bytes(), made.backing.read_bytes()
    before = (NOISE * (len(written) // MIB + 1))[: len(written)]
    matter = mapped(whole)
    for block in range(len(image) // BLOCK):
        place = slice(block * BLOCK, (block + 1) * BLOCK)
        assert written[place] == (image if block in matter else before)[place], block
    assert written[len(image) :] == before[len(image) :]
    assert done.written == len(matter) * BLOCK
    # Zeros that matter are written, but need not be read: the image has holes there.
    assert 5 * MIB < done.read < done.written


def test_without_its_map_an_image_is_written_where_it_has_no_holes(
    whole: source.Source, card: Cards, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.img"
    copy_sparse(whole.image, alone)
    found = source.whole(alone)
    assert found.map is None
    made = card(0)
    writing.write_card(found, made.path, QuietProgress())
    written, image = made.backing.read_bytes(), alone.read_bytes()
    for one in found.pieces:
        assert written[one.offset : one.end] == image[one.offset : one.end]
    assert all(one.sha256 is None for one in found.pieces)


def test_a_peer_finds_the_same_on_the_card(whole: source.Source, card: Cards, tmp_path: Path) -> None:
    ours, theirs = card(0), card(0)
    writing.write_card(whole, ours.path, QuietProgress())
    subprocess.run(
        ["bmaptool", "-q", "copy", "--bmap", whole.image.with_suffix(".bmap"), whole.image, theirs.path],
        check=True,
        capture_output=True,
    )
    assert ours.backing.read_bytes() == theirs.backing.read_bytes()


def test_a_file_is_the_image_with_its_holes(whole: source.Source, tmp_path: Path) -> None:
    done = writing.write_file(whole, tmp_path / "out.img", QuietProgress())
    assert done.check_s > 0
    assert (tmp_path / "out.img").read_bytes() == whole.image.read_bytes()
    assert (tmp_path / "out.img").stat().st_blocks <= whole.image.stat().st_blocks + 64
    assert [one.name for one in tmp_path.iterdir()] == ["out.img"]


def test_a_file_where_there_is_nothing_but_the_cache(whole: source.Source) -> None:
    """A file system in memory has no way past the cache (some kernels' has)."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        writing.write_file(whole, Path(folder) / "out.img", QuietProgress())
        assert (Path(folder) / "out.img").read_bytes() == whole.image.read_bytes()


def test_a_file_that_reads_back_wrong_is_told_and_does_not_take_its_name(whole: source.Source, tmp_path: Path) -> None:
    begin, _ = whole.names["root-a"]

    def spoil() -> None:
        (beside,) = tmp_path.iterdir()
        with beside.open("r+b") as file:
            file.seek(begin + 4097)
            file.write(bytes([whole.image.read_bytes()[begin + 4097] ^ 1]))

    with pytest.raises(CardError, match=rf"the file reads back wrong at byte {begin + 4097} \(in root-a\)"):
        writing.write_file(whole, tmp_path / "out.img", Meddler("reading back", spoil))
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_a_folder_is_told(whole: source.Source, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        writing.write_file(whole, tmp_path, QuietProgress())


def test_a_card_that_is_too_small_is_told_by_how_much_and_left_alone(whole: source.Source, card: Cards) -> None:
    made = card(-MIB)
    before = made.backing.read_bytes()
    with pytest.raises(CardError, match=rf"too small: .*1\.0 MiB \({MIB} bytes\) more"):
        writing.write_card(whole, made.path, QuietProgress())
    assert made.backing.read_bytes() == before


@pytest.mark.parametrize("name", ["root-a", "data", "select"])
def test_what_reads_back_wrong_is_told_with_its_place(whole: source.Source, card: Cards, name: str) -> None:
    made = card(0)
    begin, _ = whole.names[name]
    place = next(one for one in whole.pieces if one.end > begin).offset
    place = max(place, begin) + 4097

    def spoil() -> None:
        with made.path.open("r+b") as device:
            device.seek(place)
            old = device.read(1)
            device.seek(place)
            device.write(bytes([old[0] ^ 1]))
            device.flush()
            os.fsync(device.fileno())

    with pytest.raises(CardError, match=rf"reads back wrong at byte {place} \(in {name}\)"):
        writing.write_card(whole, made.path, Meddler("reading back", spoil))


def test_a_pulled_card_is_told_while_it_is_read_back(whole: source.Source, card: Cards) -> None:
    made = card(0)
    with pytest.raises(CardError, match="is gone: it was pulled") as caught:
        writing.write_card(whole, made.path, Meddler("reading back", lambda: made.resize(0)))
    assert caught.value.hint is not None
    assert "run the same command" in caught.value.hint


def test_a_card_that_fails_is_told_and_holds_nothing_that_boots(whole: source.Source, card: Cards) -> None:
    """It says that it is large, and is not: as counterfeits do, and as a card that loses its contact looks."""
    made = card(0)
    # A plain file would grow again by being written, so it fails when it is read back, being cut off after that.
    when = "writing" if made.path != made.backing else "reading back"
    with pytest.raises(CardError, match=r"failed|gone"):
        writing.write_card(whole, made.path, Meddler(when, lambda: made.resize(12 * MIB)))
    if when == "writing":
        assert made.backing.read_bytes()[:BLOCK] == bytes(BLOCK)


def test_an_interrupted_card_holds_nothing_that_boots(whole: source.Source, card: Cards) -> None:
    made = card(0)

    class Stops(Meddler):
        def line(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writing.write_card(whole, made.path, Stops("", lambda: None))
    assert made.backing.read_bytes()[:BLOCK] == bytes(BLOCK)
    writing.write_card(whole, made.path, QuietProgress())
    assert made.backing.read_bytes()[:BLOCK] == whole.image.read_bytes()[:BLOCK]


def test_a_damaged_image_is_told_with_its_place(whole: source.Source, card: Cards, tmp_path: Path) -> None:
    damaged = tmp_path / "disk.img"
    copy_sparse(whole.image, damaged)
    begin, _ = whole.names["root-a"]
    with damaged.open("r+b") as file:
        file.seek(begin + 100_000)
        file.write(b"?")
    pieces = tuple(replace(one, file=damaged) for one in whole.pieces)
    with pytest.raises(ImageError, match=rf"damaged at byte {begin} \(in root-a\)"):
        writing.write_card(replace(whole, pieces=pieces), card(0).path, QuietProgress())
    with pytest.raises(ImageError, match="damaged"):
        writing.write_file(replace(whole, pieces=pieces), tmp_path / "out.img", QuietProgress())
    assert not (tmp_path / "out.img").exists()


def test_how_far_it_is_and_how_fast_is_told(whole: source.Source, card: Cards) -> None:
    watcher = Meddler("", lambda: None)
    writing.write_card(whole, card(0).path, watcher)
    assert [line for line in watcher.lines if line.startswith("100 % of ") and "/s, 0 s left" in line]
