"""The MBR with logical partitions: against sfdisk's reader, and every crash point of the one rewrite of its life."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, mbr
from ovenbird_device.format.mbr import LINUX, Partition, Table
from ovenbird_device.format.sectors import Write

SECTORS = 100 * 2048


def table(signature: int = 0x1234ABCD & ~mbr.OWN, sectors: int = SECTORS) -> Table:
    return Table(
        signature,
        (
            Partition(1, mbr.FAT16, 2048, 4 * 2048 - 1),
            Partition(2, mbr.FAT16, 4 * 2048, 8 * 2048 - 1),
            Partition(3, mbr.FAT16, 8 * 2048, 12 * 2048 - 1),
            Partition(4, mbr.EXTENDED, 12 * 2048, 90 * 2048 - 1),
            Partition(5, LINUX, 13 * 2048, 20 * 2048 - 1, 12 * 2048),
            Partition(6, LINUX, 21 * 2048, 28 * 2048 - 1, 20 * 2048),
            Partition(7, LINUX, 29 * 2048, 90 * 2048 - 1, 28 * 2048),
        ),
        sectors,
    )


def disk(steps: tuple[Write, ...], size: int = SECTORS * 512) -> bytearray:
    image = bytearray(size)
    for step in steps:
        image[step.offset : step.offset + len(step.data)] = step.data
    return image


def load(image: bytes | bytearray, sectors: int = SECTORS) -> Table:
    return mbr.read(lambda at, size: bytes(image[at : at + size]), sectors)


def test_round_trip() -> None:
    assert load(disk(mbr.writes(table()))) == table()
    assert mbr.partuuid(table(), 5) == "1234abcd-05"


def test_sfdisk_reads_the_same(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(disk(mbr.writes(table())))
    done = subprocess.run(["sfdisk", "--json", image], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said = json.loads(done.stdout)["partitiontable"]
    assert (said["label"], said["id"]) == ("dos", "0x1234abcd")
    assert [(int(one["node"][-1]), one["start"], one["size"], int(one["type"], 16)) for one in said["partitions"]] == [
        (one.number, one.first, one.sectors, one.type) for one in table().partitions
    ]
    assert subprocess.run(["sfdisk", "--verify", image], capture_output=True, check=False).returncode == 0


def test_a_disk_by_sfdisk_is_read(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(SECTORS * 512)
    script = "label: dos\nlabel-id: 0xdeadbeef\n,10M,c\n,10M,c\n,10M,c\n,,E\n,20M,L\n,10M,L\n,,L\n"
    subprocess.run(["sfdisk", "-q", image], input=script, text=True, check=True)
    found = load(image.read_bytes())
    assert found.signature == 0xDEADBEEF
    assert [one.number for one in found.partitions] == [1, 2, 3, 4, 5, 6, 7]
    assert found.logical[0].size == 20 << 20


@given(st.integers(SECTORS, 1 << 33), st.integers(1, 0xFFFFFFFF))
def test_growing_on_any_medium(sectors: int, signature: int) -> None:
    new = mbr.grow(table(signature), sectors)
    mbr.check(new)
    data, extended = new.numbered(7), new.numbered(4)
    assert data.last == extended.last >= table().numbered(7).last
    assert data.last < sectors
    assert (data.last + 1) % 2048 == 0
    assert mbr.grow(new, sectors) == new


def test_every_crash_point_of_growing_is_a_table() -> None:
    """Each sector lands or not, in order; whatever is there can be read and gone on with."""
    old, sectors = table(), SECTORS * 3
    new = Table(0x1234ABCD | mbr.OWN, mbr.grow(old, sectors).partitions, sectors)
    image = disk(mbr.writes(old), sectors * 512)
    steps = mbr.rewrite(old, new)
    assert len([step for step in steps if isinstance(step, Write)]) == 3
    for step in steps:
        if not isinstance(step, Write):
            continue
        image[step.offset : step.offset + len(step.data)] = step.data
        between = load(image, sectors)
        assert [(one.number, one.first) for one in between.partitions] == [
            (one.number, one.first) for one in old.partitions
        ]
        mbr.rewrite(between, Table(new.signature, mbr.grow(between, sectors).partitions, sectors))
    assert load(image, sectors) == new
    assert mbr.rewrite(new, new) == ()


@given(st.binary(max_size=2048))
def test_noise_is_no_table(noise: bytes) -> None:
    with pytest.raises(FormatError):
        load(noise + bytes(512))


@given(st.integers(0, 511), st.integers(0, 255), st.sampled_from([0, 12 * 2048, 20 * 2048, 28 * 2048]))
def test_a_changed_byte_never_breaks_the_reader(at: int, byte: int, sector: int) -> None:
    places = {step.offset: bytearray(step.data) for step in mbr.writes(table())}
    places[sector * 512][at] = byte
    with suppress(FormatError):
        mbr.check(mbr.read(lambda offset, size: bytes(places.get(offset, bytes(size))), SECTORS))


@pytest.mark.parametrize(
    ("partitions", "what"),
    [
        ((Partition(1, LINUX, 1, 9), Partition(2, LINUX, 9, 12)), "over another"),
        ((Partition(1, LINUX, 1, SECTORS),), "outside"),
        ((Partition(5, LINUX, 20, 30, 10),), "extended"),
        ((Partition(4, mbr.EXTENDED, 10, 90), Partition(6, LINUX, 20, 30, 10)), "gaps"),
        ((Partition(4, mbr.EXTENDED, 10, 90), Partition(5, LINUX, 20, 30, 11)), "first link"),
        ((Partition(2, LINUX, 1, 9), Partition(1, LINUX, 19, 22)), "rise"),
    ],
)
def test_what_cannot_be(partitions: tuple[Partition, ...], what: str) -> None:
    with pytest.raises(FormatError, match=what):
        mbr.check(Table(1, partitions, SECTORS))


def test_a_gpt_is_none() -> None:
    from ovenbird_device.format import gpt

    with pytest.raises(FormatError):
        load(gpt.protective_mbr() + bytes(512))


def test_a_disk_that_is_too_small() -> None:
    with pytest.raises(FormatError, match="ends before"):
        mbr.grow(table(), 50 * 2048)
