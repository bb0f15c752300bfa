"""The partition table: round trips, damage, and every state that a power cut can leave during a rewrite."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ovenbird_device.format import FormatError, gpt
from ovenbird_device.format.sectors import SECTOR, Flush, Step, Write

LINUX = UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
SECTORS = 8192


class Disk:
    """A disk in memory, large enough for the tests; what was never written reads as zeros."""

    def __init__(self, sectors: int, data: dict[int, bytes] | None = None) -> None:
        self.sectors = sectors
        self.data = dict(data or {})

    def write(self, offset: int, data: bytes) -> None:
        assert offset % SECTOR == 0
        assert len(data) % SECTOR == 0
        for index in range(0, len(data), SECTOR):
            self.data[(offset + index) // SECTOR] = data[index : index + SECTOR]

    def read(self, offset: int, size: int) -> bytes:
        first = offset // SECTOR
        last = min(first + size // SECTOR, self.sectors)
        return b"".join(self.data.get(sector, bytes(SECTOR)) for sector in range(first, last))

    def clone(self, sectors: int | None = None) -> Disk:
        return Disk(sectors or self.sectors, self.data)


def fresh(table: gpt.Table) -> Disk:
    disk = Disk(table.sectors)
    for write in (Write(0, gpt.protective_mbr()), *gpt.primary(table), *gpt.backup(table)):
        disk.write(write.offset, write.data)
    return disk


def uuids() -> st.SearchStrategy[UUID]:
    return st.integers(1, 2**128 - 1).map(lambda number: UUID(int=number))


@st.composite
def tables(draw: st.DrawFn) -> gpt.Table:
    count = draw(st.integers(1, 8))
    sizes = draw(st.lists(st.integers(1, 500), min_size=count, max_size=count))
    numbers = sorted(draw(st.sets(st.integers(1, 128), min_size=count, max_size=count)))
    ids = draw(st.lists(uuids(), min_size=count + 1, max_size=count + 1, unique=True))
    names = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), max_size=36)
    place = gpt.FIRST_USABLE
    partitions: list[gpt.Partition] = []
    for number, size, uuid in zip(numbers, sizes, ids[1:], strict=True):
        attributes = draw(st.integers(0, 2**64 - 1))
        partitions.append(gpt.Partition(number, draw(names), LINUX, uuid, place, place + size - 1, attributes))
        place += size
    return gpt.Table(ids[0], tuple(partitions), SECTORS, draw(st.sampled_from(gpt.ARRAY_PLACES)))


def example() -> gpt.Table:
    names = ("bios", "select", "boot-a", "root-a", "boot-b", "root-b", "data")
    partitions = tuple(
        gpt.Partition(8 if name == "data" else index + 1, name, LINUX, UUID(int=index + 1), first, first + 511)
        for index, (name, first) in enumerate(zip(names, range(2048, 2048 + 7 * 512, 512), strict=True))
    )
    return gpt.Table(UUID(int=99), partitions, SECTORS)


@given(tables())
def test_what_is_written_is_read(table: gpt.Table) -> None:
    disk = fresh(table)
    assert gpt.read(disk.read, SECTORS) == gpt.Found(table, gpt.Source.PRIMARY)


@given(tables(), st.integers(0, SECTORS - 1), st.binary(min_size=512, max_size=512))
def test_any_one_damaged_sector_leaves_the_table_readable(table: gpt.Table, sector: int, noise: bytes) -> None:
    disk = fresh(table)
    disk.data[sector] = noise
    found = gpt.read(disk.read, SECTORS)
    assert replace(found.table, entries_at=table.entries_at) == table


@given(st.dictionaries(st.integers(0, 127), st.binary(min_size=512, max_size=512)))
def test_noise_is_an_error_and_nothing_else(noise: dict[int, bytes]) -> None:
    with pytest.raises(FormatError, match="no usable partition table"):
        gpt.read(Disk(128, noise).read, 128)


@settings(max_examples=300)
@given(st.integers(0, 91), st.binary(min_size=1, max_size=16))
def test_a_hostile_header_with_a_right_sum_gives_a_table_or_an_error(at: int, patch: bytes) -> None:
    disk = fresh(example())
    header = bytearray(disk.data[1])
    header[at : at + len(patch)] = patch[: 92 - at]
    header[16:20] = bytes(4)
    size = min(max(int.from_bytes(header[12:16], "little"), 92), 512)
    header[16:20] = struct.pack("<I", zlib.crc32(header[:size]))
    disk.data[1] = bytes(header)
    assert gpt.read(disk.read, SECTORS).table.partitions


def test_a_failing_disk_is_reported_with_its_reason() -> None:
    def broken(offset: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(FormatError, match="Input/output error"):
        gpt.read(broken, SECTORS)


def test_the_backup_in_the_middle_of_a_larger_disk_is_found() -> None:
    disk = fresh(example()).clone(SECTORS * 4)
    disk.data[gpt.ARRAY_PLACES[0]] = bytes(512)
    found = gpt.read(disk.read, disk.sectors)
    assert found.source is gpt.Source.BACKUP
    assert found.problem
    assert found.table.partitions == example().partitions


def test_growing_gives_all_room_to_the_last_partition_and_nothing_else() -> None:
    table = example()
    grown = gpt.grow(table, 1 << 20)
    assert grown.partitions[:-1] == table.partitions[:-1]
    data = grown.named("data")
    assert data.first == table.named("data").first
    assert (data.last + 1) % 2048 == 0
    assert grown.last_usable - data.last < 2048
    assert gpt.grow(grown, 1 << 20) == grown
    with pytest.raises(FormatError, match="the disk ends before partition 8"):
        gpt.grow(grown, 1 << 19)


def renamed() -> dict[int, UUID]:
    return {one.number: UUID(int=8000 + one.number) for one in example().partitions}


FIRST = example().partitions[0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (replace(FIRST, first=2000), "outside of the usable"),
        (replace(FIRST, first=2101, last=2100), "ends before it begins"),
        (replace(FIRST, last=2600), "overlaps"),
        (replace(FIRST, number=2), "numbers must rise"),
        (replace(FIRST, uuid=UUID(int=99)), "must differ"),
        (replace(FIRST, type=UUID(int=0)), "no type"),
        (replace(FIRST, name="x" * 37), "does not fit"),
    ],
)
def test_a_senseless_table_is_not_written(bad: gpt.Partition, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        gpt.primary(replace(example(), partitions=(bad, *example().partitions[1:])))


def test_a_rewrite_moves_nothing() -> None:
    found = gpt.Found(example(), gpt.Source.PRIMARY)
    with pytest.raises(FormatError, match="must not move"):
        gpt.rewrite(found, replace(example(), partitions=example().partitions[:-1]))


@dataclass(frozen=True)
class View:
    """What a boot needs of a table: where each partition begins and what it is called."""

    places: tuple[tuple[int, int, UUID], ...]


def as_grub_sees_it(disk: Disk) -> View | None:
    """GRUB: the primary header's signature, then the entries where it says; no sums (grub-core/partmap/gpt.c)."""
    header = disk.data.get(1, b"")
    if not header.startswith(b"EFI PART"):
        return None
    at, count, size = struct.unpack_from("<QII", header, 72)
    array = disk.read(at * 512, count * size)
    return _view(array[index * size : (index + 1) * size] for index in range(count))


def as_linux_sees_it(disk: Disk) -> View | None:
    """Linux booted with `gpt`: the primary if its sums are right, else the last sector (block/partitions/efi.c)."""
    for place in (1, disk.sectors - 1):
        header = disk.data.get(place, bytes(512))
        size = struct.unpack_from("<I", header, 12)[0]
        if not header.startswith(b"EFI PART") or not 92 <= size <= 512:
            continue
        if zlib.crc32(header[:16] + bytes(4) + header[20:size]) != struct.unpack_from("<I", header, 16)[0]:
            continue
        my, at, count, entry, total = struct.unpack_from("<24xQ40xQIII", header)
        array = disk.read(at * 512, count * entry)
        if my == place and zlib.crc32(array) == total:
            return _view(array[index * entry : (index + 1) * entry] for index in range(count))
    return None


def _view(entries: Iterable[bytes]) -> View:
    places = [
        (index + 1, struct.unpack_from("<Q", entry, 32)[0], UUID(bytes_le=entry[16:32]))
        for index, entry in enumerate(entries)
        if entry[:16] != bytes(16)
    ]
    return View(tuple(places))


def crash_states(disk: Disk, steps: tuple[Step, ...], rng: random.Random) -> list[Disk]:
    """Every prefix at the grain of a sector, and random subsets of what was written since the last flush."""
    states = [disk.clone()]
    done = disk.clone()
    since: list[tuple[int, bytes]] = []
    for step in steps:
        if isinstance(step, Flush):
            for _ in range(40):
                some = done.clone()
                for sector, data in rng.sample(since, rng.randint(0, len(since))):
                    some.data[sector] = data
                states.append(some)
            for sector, data in since:
                done.data[sector] = data
                states.append(done.clone())
            since = []
        else:
            for index in range(0, len(step.data), 512):
                since.append(((step.offset + index) // 512, step.data[index : index + 512]))
    assert not since, "a rewrite must end with a flush"
    return states


@pytest.mark.parametrize("larger", [SECTORS, SECTORS * 4])
@pytest.mark.parametrize("rounds", [1, 2])
def test_every_crash_of_a_rewrite_leaves_one_table_for_all_readers(larger: int, rounds: int) -> None:
    disk = fresh(example()).clone(larger)
    rng = random.Random(larger + rounds)
    count = 0
    for round_number in range(rounds):
        found = gpt.read(disk.read, larger)
        ids = {one.number: UUID(int=1000 * (round_number + 1) + one.number) for one in found.table.partitions}
        new = gpt.identify(gpt.grow(found.table, larger), UUID(int=5000 + round_number), ids)
        steps = gpt.rewrite(found, new)
        old_view = as_linux_sees_it(disk)
        for state in crash_states(disk, steps, rng):
            count += 1
            grub, linux = as_grub_sees_it(state), as_linux_sees_it(state)
            assert grub is not None
            assert grub == linux
            again = gpt.read(state.read, larger)
            assert {one.number: one.first for one in again.table.partitions} == {
                one.number: one.first for one in new.partitions
            }
        for step in steps:
            if isinstance(step, Write):
                disk.write(step.offset, step.data)
        assert as_linux_sees_it(disk) != old_view
        final = gpt.read(disk.read, larger)
        assert final == gpt.Found(replace(new, entries_at=gpt.ARRAY_PLACES[0]), gpt.Source.PRIMARY)
        assert disk.data[gpt.ARRAY_PLACES[0]] == disk.data[gpt.ARRAY_PLACES[1]], "old identifiers were left behind"
    assert count > 100


def test_a_rewrite_that_started_from_the_backup_keeps_it_until_the_primary_is_good() -> None:
    disk = fresh(example())
    disk.data[gpt.ARRAY_PLACES[0]] = b"\xff" * 512
    found = gpt.read(disk.read, SECTORS)
    assert found.source is gpt.Source.BACKUP
    new = gpt.identify(found.table, UUID(int=7000), renamed())
    for state in crash_states(disk, gpt.rewrite(found, new), random.Random(1)):
        assert gpt.read(state.read, SECTORS).table.named("data").first == example().named("data").first


def test_a_rewrite_that_was_cut_off_between_its_switches_is_finished_by_the_next() -> None:
    disk = fresh(example())
    found = gpt.read(disk.read, SECTORS)
    new = gpt.identify(found.table, UUID(int=7000), renamed())
    for step in gpt.rewrite(found, new)[:-4]:
        if isinstance(step, Write):
            disk.write(step.offset, step.data)
    cut = gpt.read(disk.read, SECTORS)
    assert cut.table == replace(new, entries_at=gpt.ARRAY_PLACES[1])
    steps = gpt.rewrite(cut, new)
    for state in crash_states(disk, steps, random.Random(2)):
        assert as_grub_sees_it(state) == as_linux_sees_it(state) == as_linux_sees_it(disk)
    for step in steps:
        if isinstance(step, Write):
            disk.write(step.offset, step.data)
    assert gpt.read(disk.read, SECTORS).table == new
