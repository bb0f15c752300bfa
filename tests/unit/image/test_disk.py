"""The disk image: equal bytes, what peers make of it, and that what the map leaves out does not matter."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ovenbird.errors import ImageError
from ovenbird.image.bmap import write_bmap
from ovenbird.image.boot import write_boot
from ovenbird.image.disk import BLOCK, DiskMap, write_data, write_disk
from ovenbird.image.fat import write_fat
from ovenbird.image.grub import BiosCode, bios_code, write_select
from ovenbird.image.layout import MIB, NUMBERS, Layout, plan
from ovenbird.recipe.load import load
from ovenbird.recipe.size import format_size, parse_size
from ovenbird.run import CommandError
from ovenbird_device.format import FormatError, fat, gpt, selector
from ovenbird_device.format.sectors import SECTOR, ReadAt

GRUB = Path("/usr/lib/grub")
EPOCH = 1700000000


def volume(file: Path) -> fat.Volume:
    return fat.Volume(_reader(file.read_bytes()))


def _reader(data: bytes) -> ReadAt:
    return lambda offset, size: data[offset : offset + size]


def layout(**changes: int) -> Layout:
    sizes = {"select": 8 * MIB, "boot": 8 * MIB, "root": 4 * MIB, "data": 32 * MIB, "rescue": 0} | changes
    return plan(digest="content", **sizes)


def build(folder: Path, root: bytes = b"root" * 1000) -> tuple[DiskMap, BiosCode]:
    folder.mkdir()
    (folder / "kernel").write_bytes(b"kernel" * 1000)
    (folder / "initrd").write_bytes(b"initrd" * 1000)
    (folder / "root").write_bytes(root)
    code = bios_code(GRUB)
    write_select(folder / "select", grub=GRUB, epoch=EPOCH, size=8 * MIB)
    write_boot(
        folder / "boot",
        kernel=folder / "kernel",
        initrd=folder / "initrd",
        cmdline="console=ttyS0 gpt",
        size=8 * MIB,
        epoch=EPOCH,
    )
    made = write_disk(
        folder / "disk.img",
        layout=layout(),
        select=folder / "select",
        bios=code,
        boot=folder / "boot",
        root=folder / "root",
        digest="content",
        epoch=EPOCH,
    )
    return made, code


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = build(tmp_path / "one")
    write_bmap(tmp_path / "one.bmap", first)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.sleep(2.1)  # FAT counts time in steps of two seconds.
    second, _ = build(tmp_path / "another folder")
    write_bmap(tmp_path / "two.bmap", second)
    for one, two in (
        (first.image, second.image),
        (tmp_path / "one" / "boot", tmp_path / "another folder" / "boot"),
        (tmp_path / "one.bmap", tmp_path / "two.bmap"),
    ):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest()


def test_the_table_is_the_contracts_and_peers_accept_it(tmp_path: Path) -> None:
    made, code = build(tmp_path / "out")
    data = made.image.read_bytes()
    found = gpt.read(lambda offset, size: data[offset : offset + size], len(data) // SECTOR)
    assert found == gpt.Found(layout().table, gpt.Source.PRIMARY)
    assert {one.name: one.number for one in found.table.partitions} == {
        name: number for name, number in NUMBERS.items() if name != "rescue"
    }
    assert data[510:512] == b"\x55\xaa"
    assert data[:0x5A] == code.boot_img[:0x5A]
    assert int.from_bytes(data[0x5C:0x64], "little") == found.table.named("bios").first
    dump = subprocess.run(["sfdisk", "--dump", made.image], capture_output=True, text=True, check=True)
    assert not dump.stderr
    assert re.findall(r'name="([^"]+)"', dump.stdout) == [one.name for one in found.table.partitions]


def test_a_written_card_works_whatever_was_on_it_before(tmp_path: Path) -> None:
    """The blocks of the map alone, on a card full of noise: every part is whole, and slot b is empty."""
    made, _ = build(tmp_path / "out")
    card = bytearray(os.urandom(MIB) * (made.size // MIB))
    image = made.image.read_bytes()
    for first, last in made.ranges:
        card[first * BLOCK : (last + 1) * BLOCK] = image[first * BLOCK : (last + 1) * BLOCK]
    table = gpt.read(lambda offset, size: bytes(card[offset : offset + size]), made.size // SECTOR).table
    for name in ("select", "boot-a", "root-a", "boot-b", "data"):
        part = table.named(name)
        (tmp_path / name).write_bytes(card[part.offset : part.offset + part.size])
    assert volume(tmp_path / "boot-a").read(volume(tmp_path / "boot-a").find("vmlinuz")) == b"kernel" * 1000
    for copy in selector.COPIES:
        assert selector.decode_one(volume(tmp_path / "select").read(volume(tmp_path / "select").find(copy)))
    assert (tmp_path / "root-a").read_bytes().startswith(b"root" * 1000)
    with pytest.raises(FormatError, match="no boot sector"):
        volume(tmp_path / "boot-b")
    subprocess.run(["fsck.vfat", "-n", tmp_path / "select"], check=True, capture_output=True)
    subprocess.run(["fsck.vfat", "-n", tmp_path / "boot-a"], check=True, capture_output=True)
    subprocess.run(["e2fsck", "-f", "-n", tmp_path / "data"], check=True, capture_output=True)


@pytest.mark.interop
def test_bmaptool_copies_with_our_map(tmp_path: Path) -> None:
    made, _ = build(tmp_path / "out")
    write_bmap(tmp_path / "disk.bmap", made)
    copy = tmp_path / "copy.img"
    subprocess.run(
        ["bmaptool", "copy", "--bmap", tmp_path / "disk.bmap", made.image, copy], check=True, capture_output=True
    )
    assert copy.read_bytes() == made.image.read_bytes()


def test_the_image_is_sparse_and_the_map_is_small(tmp_path: Path) -> None:
    made, _ = build(tmp_path / "out")
    assert made.image.stat().st_blocks * 512 < made.size // 2
    assert sum(last - first + 1 for first, last in made.ranges) * BLOCK < made.size // 2
    assert all(one[1] + 1 < two[0] for one, two in pairwise(made.ranges))
    mapped = bytearray(made.image.read_bytes())
    for first, last in made.ranges:
        mapped[first * BLOCK : (last + 1) * BLOCK] = bytes((last + 1 - first) * BLOCK)
    assert not any(mapped), "something that is not in the map was written"


def test_copying_works_where_the_kernel_cannot_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = build(tmp_path / "one")

    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    again, _ = build(tmp_path / "two")
    assert again.image.read_bytes() == made.image.read_bytes()


def test_a_root_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"root \(4194305 bytes\) is larger than root-a \(4194304 bytes\)"):
        build(tmp_path / "out", bytes(4 * MIB + 1))


def test_rescue_gets_its_number_and_nothing_else_changes() -> None:
    with_rescue = layout(rescue=MIB)
    assert with_rescue.partition("rescue").number == 7
    assert with_rescue.partition("data").number == layout().partition("data").number == 8
    assert with_rescue.partition("root-b") == layout().partition("root-b")
    with pytest.raises(ImageError, match="root-a must have a size"):
        layout(root=0)


def test_data_may_be_as_small_as_a_recipe_says_and_no_smaller(tmp_path: Path) -> None:
    """On any board: it is the same file system in both kinds of tables."""
    least = parse_size("18M")
    recipe = tmp_path / "ovenbird.toml"
    recipe.write_text(f'[image]\nname="x"\nversion="1"\nboard="rpi"\n[disk]\ndata="{format_size(least)}"\n')
    assert load(recipe).recipe.disk.data == least
    write_data(tmp_path / "data", size=least, digest="x", epoch=EPOCH)
    subprocess.run(["e2fsck", "-fn", tmp_path / "data"], check=True, capture_output=True)
    with pytest.raises(CommandError, match="file system of data failed"):
        write_data(tmp_path / "data", size=least - MIB, digest="x", epoch=EPOCH)


def test_data_grows_a_long_way(tmp_path: Path) -> None:
    write_data(tmp_path / "data", size=64 * MIB, digest="x", epoch=EPOCH)
    with (tmp_path / "data").open("r+b") as file:
        file.truncate(64 << 30)
    subprocess.run(["resize2fs", "-f", tmp_path / "data"], check=True, capture_output=True)
    text = subprocess.run(["dumpe2fs", "-h", tmp_path / "data"], check=True, capture_output=True, text=True).stdout
    assert re.search(r"Block count: +16777216\n", text)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="do not fit into 4194304 bytes"):
        write_fat(tmp_path / "x", {"a": bytes(4 * MIB + 1)}, size=4 * MIB, label="X", epoch=EPOCH)
    with pytest.raises(ImageError, match="do not fit into 4194304 bytes"):
        write_fat(tmp_path / "x", {"a": bytes(4 * MIB - 100)}, size=4 * MIB, label="X", epoch=EPOCH)


def test_a_command_line_that_grub_would_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ImageError, match="GRUB would change"):
        write_boot(
            tmp_path / "out",
            kernel=tmp_path / "file",
            initrd=tmp_path / "file",
            cmdline="a='b'",
            size=8 * MIB,
            epoch=EPOCH,
        )


def test_missing_modules_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"normal\.mod, .* are missing"):
        write_select(tmp_path / "select", grub=tmp_path, epoch=EPOCH)


@pytest.mark.parametrize("bits", [16, 32])
def test_our_reader_agrees_with_mtools(tmp_path: Path, bits: int) -> None:
    files = {
        "vmlinuz": b"k" * 70000,
        "a long Name.text": b"x",
        "empty": b"",
        "EFI/BOOT/BOOTX64.EFI": b"e" * 513,
        **{f"many/file-{number:03}.bin": bytes([number]) * number for number in range(60)},
    }
    out = tmp_path / "image"
    write_fat(out, files, size=40 * MIB, label="TEST", epoch=EPOCH, bits=bits)
    ours = volume(out)
    assert ours.bits == bits
    assert ours.label == "TEST"
    assert {file.path: ours.read(file) for file in ours.files() if not file.is_folder} == files
    shown = subprocess.run(["mtype", "-i", out, "::/vmlinuz"], capture_output=True, check=True).stdout
    assert shown == files["vmlinuz"]


def test_a_damaged_volume_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "image"
    write_fat(out, {"dir/file": b"x" * 5000}, size=4 * MIB, label="TEST", epoch=EPOCH)
    whole = out.read_bytes()
    for at in [*range(11, 40), *range(510, 530), *range(20000, 21000, 7)]:
        data = bytearray(whole)
        data[at] ^= 0xFF
        try:
            broken = fat.Volume(_reader(bytes(data)))
            for file in broken.files():
                broken.read(file)
        except FormatError:
            pass
