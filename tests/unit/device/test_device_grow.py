"""Growth: the table on a real file, cut off anywhere; where data lives; what ext4 says about itself."""

import os
import random
import subprocess
from pathlib import Path
from uuid import NAMESPACE_DNS, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.image import layout
from ovenbird_device.format import FormatError, gpt, mbr
from ovenbird_device.format.sectors import SECTOR, Flush, Write
from ovenbird_device.grow import __main__ as growing
from ovenbird_device.grow import device, table

LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
SMALL, LARGE = 8 * 2048, 24 * 2048


def image(path: Path, sectors: int = LARGE, *, tail: bool = False) -> gpt.Table:
    """An image of 8 MiB, written to a medium of `sectors`."""
    partitions = [
        gpt.Partition(1, "root-a", LINUX, uuid5(NAMESPACE_DNS, "1"), 2048, 4095),
        gpt.Partition(2, "data", LINUX, uuid5(NAMESPACE_DNS, "2"), 4096, 8191),
    ]
    if tail:
        partitions.append(gpt.Partition(3, "more", LINUX, uuid5(NAMESPACE_DNS, "3"), 8192, 10239))
    made = gpt.Table(uuid5(NAMESPACE_DNS, "disk"), tuple(partitions), SMALL)
    with path.open("wb") as file:
        file.write(gpt.protective_mbr())
        for copy in (*gpt.primary(made), *gpt.backup(made)):
            file.seek(copy.offset)
            file.write(copy.data)
        file.truncate(sectors * SECTOR)
    return made


def renew(path: Path) -> tuple[gpt.Found, gpt.Table, bool]:
    """What a boot does with the table; says whether it wrote."""
    disk = os.open(path, os.O_RDWR)
    try:
        sectors = os.fstat(disk).st_size // SECTOR
        found = gpt.read(lambda offset, size: os.pread(disk, size, offset), sectors)
        new = table.renewed(found, 2, sectors)
        wrote = table.outdated(disk, found, new)
        if wrote:
            table.write(disk, gpt.rewrite(found, new))
        return found, new, wrote
    finally:
        os.close(disk)


def test_first_boot_grows_and_identifies_and_the_second_does_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    made = image(disk)
    _, new, wrote = renew(disk)
    assert wrote
    assert new.disk != made.disk
    assert new.disk.version == 4
    assert all(now.uuid != then.uuid for now, then in zip(new.partitions, made.partitions, strict=True))
    assert new.named("data").last > made.named("data").last
    before = disk.read_bytes()
    assert not renew(disk)[2]
    assert disk.read_bytes() == before


def test_two_media_of_one_image_differ(tmp_path: Path) -> None:
    image(tmp_path / "one")
    image(tmp_path / "two")
    first, second = renew(tmp_path / "one")[1], renew(tmp_path / "two")[1]
    ids = {first.disk, second.disk, *(one.uuid for both in (first, second) for one in both.partitions)}
    assert len(ids) == 6


def test_a_medium_as_large_as_its_image_is_only_identified(tmp_path: Path) -> None:
    image(tmp_path / "disk", SMALL)
    new = renew(tmp_path / "disk")[1]
    assert new.disk.version == 4
    assert new.named("data").last <= new.last_usable


def test_a_lost_backup_is_written_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    image(disk)
    renew(disk)
    with disk.open("r+b") as file:
        file.seek((LARGE - 1) * SECTOR)
        file.write(bytes(SECTOR))
    assert renew(disk)[2]
    assert not renew(disk)[2]


def test_a_lost_primary_is_written_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    image(disk)
    known = renew(disk)[1]
    with disk.open("r+b") as file:
        file.seek(SECTOR)
        file.write(bytes(SECTOR))
    found, new, wrote = renew(disk)
    assert found.source is gpt.Source.BACKUP
    assert wrote
    assert new.disk == known.disk
    assert not renew(disk)[2]


@pytest.mark.parametrize("seed", range(60))
def test_a_power_cut_anywhere_is_made_good_by_the_next_boot(tmp_path: Path, seed: int) -> None:
    disk = tmp_path / "disk"
    made = image(disk)
    raw = bytearray(disk.read_bytes())
    found = gpt.read(lambda offset, size: bytes(raw[offset : offset + size]), LARGE)
    steps = gpt.rewrite(found, table.renewed(found, 2, LARGE))
    chance = random.Random(seed)
    pending: list[Write] = []
    for step in steps[: chance.randrange(len(steps) + 1)]:
        if isinstance(step, Flush):
            pending = []
        else:
            pending.append(step)
        if isinstance(step, Write):
            raw[step.offset : step.offset + len(step.data)] = step.data
    for write in pending:  # sectors since the last barrier may be missing in any combination
        for sector in range(0, len(write.data), SECTOR):
            if chance.random() < 0.5:
                place = slice(write.offset + sector, write.offset + sector + SECTOR)
                raw[place] = disk.read_bytes()[place]
    disk.write_bytes(raw)
    new = renew(disk)[1]
    assert new.disk.version == 4
    assert [one.first for one in new.partitions] == [one.first for one in made.partitions]
    assert not renew(disk)[2]


def test_an_mbr_grows_and_takes_a_signature_of_its_own(tmp_path: Path) -> None:
    old = layout.plan_card(select=layout.MIB, boot=layout.MIB, root=layout.MIB, data=layout.MIB, digest="one").table
    sectors = old.sectors * 4
    first, second = (table.renewed_mbr(old, 7, sectors) for _ in range(2))
    assert first.signature != second.signature
    assert first.signature & mbr.OWN
    assert table.renewed_mbr(first, 7, sectors) == first
    disk = tmp_path / "disk"
    with disk.open("w+b") as file:
        file.truncate(sectors * SECTOR)
        for step in mbr.writes(old):
            os.pwrite(file.fileno(), step.data, step.offset)
        table.write(file.fileno(), mbr.rewrite(old, first))
        assert mbr.read(lambda at, size: os.pread(file.fileno(), size, at), sectors) == first
    with pytest.raises(FormatError, match="behind data"):
        table.renewed_mbr(old, 6, sectors)


def test_what_is_not_data_is_left_alone(tmp_path: Path) -> None:
    image(tmp_path / "tail", tail=True)
    with pytest.raises(FormatError, match="behind data"):
        renew(tmp_path / "tail")
    image(tmp_path / "disk")
    found = gpt.read(lambda offset, size: (tmp_path / "disk").read_bytes()[offset : offset + size], LARGE)
    with pytest.raises(FormatError, match="partition 1 is mounted"):
        table.renewed(found, 1, LARGE)
    with pytest.raises(FormatError):
        table.renewed(found, 2, 6000)


MOUNTS = "31 22 254:2 / /data rw - ext4 /dev/vda2 rw\n"


def system(folder: Path, **numbers: str) -> Path:
    """A sysfs with one disk `vda` and its second partition."""
    values = {"partition": "2", "start": "4096", "size": "4096", "disk": "49152", "block": "512"} | numbers
    partition = folder / "devices/vda/vda2"
    partition.mkdir(parents=True)
    for name in ("partition", "start", "size"):
        (partition / name).write_text(values[name] + "\n")
    (partition.parent / "size").write_text(values["disk"] + "\n")
    (partition.parent / "queue").mkdir()
    (partition.parent / "queue/logical_block_size").write_text(values["block"] + "\n")
    (folder / "dev/block").mkdir(parents=True)
    (folder / "dev/block/254:2").symlink_to("../../devices/vda/vda2")
    return folder


def test_data_is_found_by_its_mount(tmp_path: Path) -> None:
    place = device.locate(MOUNTS, "/data", system(tmp_path), Path("/dev"))
    assert place == device.Place(Path("/dev/vda"), 49152, Path("/dev/vda2"), 2, 4096, 4096)


@pytest.mark.parametrize(
    ("mounts", "numbers", "reason"),
    [
        ("", {}, "not an ext4"),
        ("31 22 0:9 / /data rw - tmpfs none rw\n", {}, "not an ext4"),
        (MOUNTS + "32 22 0:9 / /data rw - tmpfs none rw\n", {}, "not an ext4"),
        ("31 22 254:9 / /data rw - ext4 /dev/vda2 rw\n", {}, "not on a partition"),
        (MOUNTS, {"block": "4096"}, "another size"),
        (MOUNTS, {"size": "?"}, "does not tell"),
    ],
)
def test_other_places_are_refused(tmp_path: Path, mounts: str, numbers: dict[str, str], reason: str) -> None:
    with pytest.raises(device.GrowError, match=reason):
        device.locate(mounts, "/data", system(tmp_path, **numbers), Path("/dev"))


@pytest.mark.parametrize("options", [["-b", "4096"], ["-b", "1024"], ["-b", "4096", "-O", "^64bit"]])
def test_size_of_a_real_file_system(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "ext4"
    file.touch()
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", *options, str(file), "20M"], check=True)
    assert device.file_system_size(device.read_superblock(file)) == 20 << 20
    assert device.file_system_size(bytes(1024)) is None


@given(st.binary(max_size=1024))
def test_any_superblock_is_borne(data: bytes) -> None:
    size = device.file_system_size(data)
    assert size is None or size >= 0


@pytest.mark.parametrize("state", ["data=degraded\n", "", "data=nonsense\n"])
def test_without_its_data_the_disk_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    (tmp_path / "boot").write_text(state)
    assert growing.main(["--note", str(tmp_path / "boot"), "--data", str(tmp_path)]) == 0
    assert "left alone" in capsys.readouterr().out


def test_data_that_cannot_grow_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boot").write_text("data=ok\n")
    assert growing.main(["--note", str(tmp_path / "boot"), "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"ovenbird-grow: {tmp_path} is not an ext4 file system\n"
