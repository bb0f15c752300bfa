"""What the Pi's boot loader tells, and the words that its firmware is asked with."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ovenbird_device.raspberry import bootloader, mailbox
from ovenbird_device.raspberry.bootloader import Bootloader
from ovenbird_device.raspberry.mailbox import MailboxError


def tree(folder: Path, **numbers: int) -> Path:
    (folder / "chosen/bootloader").mkdir(parents=True)
    for name, number in numbers.items():
        (folder / "chosen/bootloader" / name.replace("_", "-")).write_bytes(struct.pack(">I", number))
    return folder


def test_a_tryboot_of_slot_b(tmp_path: Path) -> None:
    said = bootloader.read(tree(tmp_path, partition=3, tryboot=1, build_timestamp=1669373653))
    assert said == Bootloader(partition=3, tryboot=True, built=1669373653)
    assert said.problem == ""


def test_older_firmware_tells_less(tmp_path: Path) -> None:
    assert bootloader.read(tmp_path) == Bootloader()
    assert bootloader.read(tmp_path).problem == ""
    folder = tree(tmp_path, partition=0)
    (folder / "chosen/bootloader/tryboot").write_bytes(b"\0")
    assert bootloader.read(folder) == Bootloader(partition=0)


@pytest.mark.parametrize(("built", "day"), [(1599135103, "2020-09-03"), (1619712685, "2021-04-29")])
def test_a_boot_loader_that_cannot_fall_back(tmp_path: Path, built: int, day: str) -> None:
    folder = tree(tmp_path)
    (folder / "chosen/bootloader/build_timestamp").write_bytes(struct.pack(">I", built))
    problem = bootloader.read(folder).problem
    assert day in problem
    assert "2022-10-18 or newer" in problem


def test_the_words_of_a_request() -> None:
    words = mailbox.request(mailbox.SET_REBOOT_FLAGS, mailbox.TRYBOOT)
    assert words == [28, 0, 0x00038064, 4, 0, 1, 0]
    assert mailbox.answer([28, 0x80000000, 0x00030064, 4, 0x80000004, 1, 0]) == 1
    with pytest.raises(MailboxError, match="does not know"):
        mailbox.answer([28, 0x80000000, 0x00038064, 4, 0, 1, 0])
    with pytest.raises(MailboxError, match="refused"):
        mailbox.answer([28, 0x80000001, 0x00038064, 4, 0, 1, 0])


def test_where_the_mailbox_is(tmp_path: Path) -> None:
    iomem = tmp_path / "iomem"
    iomem.write_text("00000000-3b3fffff : System RAM\n3f00b880-3f00b8bf : 3f00b880.mailbox mailbox@7e00b880\n")
    with pytest.raises(MailboxError, match="overlay"):
        mailbox.door(tmp_path, iomem)
    page = tmp_path / "reserved-memory/ovenbird@10000000"
    page.mkdir(parents=True)
    (page.parent / "#address-cells").write_bytes(struct.pack(">I", 1))
    (page / "reg").write_bytes(struct.pack(">II", 0x10000000, 0x200000))
    assert mailbox.door(tmp_path, iomem) is not None
    iomem.write_text("00000000-00000000 : 3f00b880.mailbox mailbox@7e00b880\n")
    with pytest.raises(MailboxError, match="only root"):
        mailbox.door(tmp_path, iomem)
    assert mailbox.door(tmp_path, tmp_path / "none") is None
