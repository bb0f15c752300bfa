"""A real QEMU with a guest of a few bytes: power, console, control, disks. The accelerator is found by trying it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ovenbird.boards import VirtualMachine, board
from ovenbird.errors import UsageError
from ovenbird.files import copy_sparse
from ovenbird.run import run
from ovenbird.vm import accelerator
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from ovenbird.vm.machine import Machine, MachineError
from ovenbird.vm.running import last_line

VIRTUAL: VirtualMachine = board("vm").virtual
# A boot sector (16-bit code) that writes "up\n" to the first serial port and stops.
SECTOR = bytes.fromhex("baf803 b075 ee b070 ee b00a ee f4 ebfd".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(SECTOR + bytes((1 << 20) - 512))
    return file


def machine(disk: Path, **options: object) -> Machine:
    settings = Settings(VIRTUAL, boot=Boot.BIOS, memory="32M")
    return Machine(settings, [disk], accelerated=Accelerator.TCG, **options)  # type: ignore[arg-type] # passed on


def test_emulation_works_and_the_probe_says_so() -> None:
    assert accelerator.probe(Accelerator.TCG)


def test_the_best_accelerator_is_one_that_works() -> None:
    assert accelerator.probe(accelerator.best())


def test_a_probe_that_cannot_start_is_a_no(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'KVM internal error. Suberror: 1' >&2\nexec sleep 60\n")
    program.chmod(0o755)
    begin = time.monotonic()
    assert not accelerator.probe(Accelerator.KVM, str(program))
    assert time.monotonic() - begin < accelerator.PATIENCE


def test_power_console_and_reset(disk: Path) -> None:
    with machine(disk) as guest:
        guest.wait_for("^up$", 20)
        length = len(guest.console)
        guest.reset()
        guest.wait_for("^up$", 20, since=length)
        guest.power_cut()
        assert not guest.running
        guest.power_on()
        guest.wait_for("^up$", 20)
        with pytest.raises(MachineError, match="did not show"):
            guest.wait_for("down", 0.2)
        with guest.control() as control:
            assert control.execute("query-status")["status"] == "running"
            control.execute("quit")
        assert guest.wait_off(10)
        with pytest.raises(MachineError, match="ended before"):
            guest.wait_for("down", 5)


def test_a_guest_that_ignores_the_power_button_is_switched_off(disk: Path) -> None:
    with machine(disk) as guest:
        guest.wait_for("^up$", 20)
        assert not guest.shut_down(timeout=0.5)
        assert not guest.running


def test_nothing_is_left_behind_and_the_image_is_untouched(disk: Path) -> None:
    before = disk.read_bytes()
    with machine(disk) as guest:
        folder = guest.files.folder
        guest.wait_for("^up$", 20)
    assert not folder.exists()
    assert disk.read_bytes() == before


def test_a_kept_disk_is_a_larger_copy_that_is_used_again(disk: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.img"
    with machine(disk, keep=kept, growth=1 << 20, start=False):
        assert kept.stat().st_size == 2 << 20
    with kept.open("r+b") as file:
        file.seek(4096)
        file.write(b"kept")
    with machine(disk, keep=kept, start=False):
        assert kept.read_bytes()[4096:4100] == b"kept"


def test_a_snapshot_brings_a_disk_back(disk: Path, tmp_path: Path) -> None:
    with machine(disk, start=False) as guest:
        guest.snapshot(tmp_path / "saved")
        layer = next(guest.files.folder.glob("*.qcow2"))
        run(["qemu-io", "-c", "write -P 7 4096 512", layer])
        guest.export_disk(tmp_path / "changed")
        guest.restore(tmp_path / "saved")
        guest.export_disk(tmp_path / "back")
        guest.power_on()
        with pytest.raises(UsageError, match="power off"):
            guest.restore(tmp_path / "saved")
        guest.wait_for("^up$", 20)
        guest.snapshot(tmp_path / "running")
        with guest.control() as control:
            assert control.execute("query-status")["status"] == "running"
        guest.power_cut()
        assert (tmp_path / "running" / layer.name).read_bytes() == layer.read_bytes()
    assert (tmp_path / "changed").read_bytes()[4096:4098] == b"\7\7"
    assert (tmp_path / "back").read_bytes()[4096:4098] == b"\0\0"


def test_copies_keep_their_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        file.write(b"x")
    copy_sparse(source, target, 128 << 20)
    assert target.stat().st_size == 128 << 20
    assert target.stat().st_blocks * 512 < 1 << 20


def test_the_last_line_of_a_console_is_readable() -> None:
    assert (
        last_line("a\r\n\x1b[0;32m  OK  \x1b[0m] Started \x1b[1mthing\x1b[0m.\r\n\x1b[2J\r\n") == "OK  ] Started thing."
    )
    assert last_line("") == ""
