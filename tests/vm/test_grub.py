"""The real grub.cfg in real firmware, held against the pure state machine.

The slots are tiny: by BIOS a kernel of some hundred bytes that prints the command line it was given and resets the
machine; by UEFI, where GRUB wants a signed-size kernel with a stub, a `slot.cfg` that prints and resets. Each test
starts QEMU once, lets it boot as often as it likes and compares every boot, and what is left on the disk, with
`State.boot`.
"""

from __future__ import annotations

import os
import re
import select as io_select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from ovenbird.image.boot import write_boot
from ovenbird.image.disk import write_disk
from ovenbird.image.fat import write_fat
from ovenbird.image.grub import bios_code, write_select
from ovenbird.image.layout import MIB, Layout, plan
from ovenbird.run import spawn
from ovenbird_device.format import cmdline, fat, gpt, selector
from ovenbird_device.format.sectors import SECTOR, Write
from ovenbird_device.format.selector import Slot, State, Target

pytestmark = pytest.mark.vm

GRUB = Path("/usr/lib/grub")
EPOCH = 1700000000
BOOT_LIMIT = 60.0
"""Seconds that one boot may take on a busy machine."""

UEFI_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# Prints the command line on the first serial port and resets the machine (32-bit x86, entered with %esi = boot_params).
CODE = bytes.fromhex(
    "8bb628020000"  # 00  mov esi, [esi + 0x228]   the command line
    "ac 84c0 7414"  # 06  lodsb; test al, al; jz 1f
    "88c3"  # 0b  mov bl, al
    "66bafd03 ec a820 74fb"  # 0d  mov dx, 0x3fd; in al, dx; test al, 0x20; jz 11
    "88d8 66baf803 ee ebe7"  # 16  mov al, bl; mov dx, 0x3f8; out dx, al; jmp 06
    "b900000002 e2fe"  # 1f  mov ecx, 0x2000000; loop 24   the port needs a moment
    "b0fe e664 f4 ebfd"  # 26  mov al, 0xfe; out 0x64, al; hlt; jmp 2a
)


def kernel() -> bytes:
    """The smallest bzImage that GRUB loads (Linux, Documentation/arch/x86/boot.rst)."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x020A)
    setup[0x211] = 1
    struct.pack_into("<I", setup, 0x214, 0x100000)
    struct.pack_into("<II", setup, 0x22C, 0x7FFFFFFF, 0x1000)
    setup[0x200:0x202] = b"\xeb\x6a"
    struct.pack_into("<I", setup, 0x238, 2047)
    struct.pack_into("<QI", setup, 0x258, 0x100000, 0x10000)
    return bytes(setup) + CODE.ljust(4096, b"\0")


@dataclass
class Machine:
    """A disk with slots, and the firmware to boot it with."""

    disk: Path
    layout: Layout
    firmware: str

    def path_of(self, copy: int) -> int:
        """Where a copy of the state lies on the disk, in bytes."""
        start = self.layout.partition("select").offset
        with self.disk.open("rb") as image:
            volume = fat.Volume(lambda offset, size: os.pread(image.fileno(), size, start + offset))
            extents = volume.find(selector.COPIES[copy]).extents
        return start + extents[0].offset

    def copies(self) -> tuple[bytes, bytes]:
        with self.disk.open("rb") as image:
            one, two = (os.pread(image.fileno(), 1024, self.path_of(copy)) for copy in (0, 1))
        return one, two

    def put(self, *blocks: bytes) -> None:
        places = [self.path_of(copy) for copy in (0, 1)]
        with self.disk.open("r+b") as image:
            for place, block in zip(places, blocks, strict=True):
                os.pwrite(image.fileno(), block, place)

    def fill(self, name: str, image: Path) -> None:
        with self.disk.open("r+b") as disk:
            os.pwrite(disk.fileno(), image.read_bytes(), self.layout.partition(name).offset)

    def empty(self, name: str) -> None:
        with self.disk.open("r+b") as disk:
            os.pwrite(disk.fileno(), bytes(4096), self.layout.partition(name).offset)

    def output(self) -> Iterator[str]:
        """Start the machine; what it says, growing, at each piece that comes."""
        command: list[str | Path] = ["qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", "128", "-M", "q35"]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-net", "none"]
        command += ["-drive", f"file={self.disk},if=virtio,format=raw"]
        if self.firmware == "uefi":
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={UEFI_CODE}"]
            command += ["-drive", f"if=pflash,format=raw,unit=1,snapshot=on,file={UEFI_VARIABLES}"]
        with spawn(command, stdout=-1) as process:
            assert process.stdout is not None
            text = ""
            limit = time.monotonic() + BOOT_LIMIT
            while time.monotonic() < limit:
                if io_select.select([process.stdout], [], [], 1)[0]:
                    piece = os.read(process.stdout.fileno(), 65536).decode("utf-8", "replace")
                    if not piece:
                        break
                    text += re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", piece)
                    if "\n" in piece or "#" in piece:
                        limit = time.monotonic() + BOOT_LIMIT
                    yield text
        raise AssertionError(f"the machine fell silent; it said:\n{text[-3000:]}")

    def boots(self, count: int) -> list[cmdline.Cmdline]:
        """The command lines of the next boots."""
        for text in self.output():
            lines = re.findall(r"(?:<|BOOT_IMAGE=)([^<>]*) #>", text.replace("\r", "").replace("\n", ""))
            if len(lines) >= count:
                return [cmdline.parse(line) for line in lines[:count]]
        raise AssertionError("unreachable")


def slot_files(folder: Path, name: str, firmware: str) -> Path:
    """A boot image whose boot ends in a line `<… #>` and a reset."""
    out = folder / f"boot-{name}-{firmware}"
    if firmware == "bios":
        (folder / "kernel").write_bytes(kernel())
        (folder / "initrd").write_bytes(b"initrd")
        line = "console=ttyS0 gpt #>"
        write_fat(
            out,
            {
                "vmlinuz": folder / "kernel",
                "initrd": folder / "initrd",
                "slot.cfg": f"set ovenbird_cmdline='{line}'\n".encode(),
            },
            size=8 * MIB,
            label="BOOT",
            epoch=EPOCH,
        )
        return out
    # Short lines: the firmware's console breaks long ones.
    script = f"""echo "<ovenbird.slot={name} $trial_word"
echo " ovenbird.root=PARTUUID=$root_id"
echo " ovenbird.data=PARTUUID=$data_id #>"
reboot
"""
    write_fat(out, {"slot.cfg": script.encode()}, size=8 * MIB, label="BOOT", epoch=EPOCH)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grub")


@pytest.fixture(params=["bios", "uefi"])
def machine(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Machine:
    return make(str(request.param), folder, tmp_path)


@pytest.fixture
def bios(folder: Path, tmp_path: Path) -> Machine:
    return make("bios", folder, tmp_path)


def make(firmware: str, folder: Path, scratch: Path) -> Machine:
    """A disk with both slots filled and room for a rescue system."""
    layout = plan(select=8 * MIB, boot=8 * MIB, root=MIB, data=32 * MIB, rescue=8 * MIB, digest="test")
    code = bios_code(GRUB)
    write_select(scratch / "select", grub=GRUB, epoch=EPOCH, size=8 * MIB)
    root = scratch / "root"
    root.write_bytes(b"root")
    boot = slot_files(folder, "a", firmware)
    disk = scratch / "disk.img"
    write_disk(
        disk, layout=layout, select=scratch / "select", bios=code, boot=boot, root=root, digest="test", epoch=EPOCH
    )
    made = Machine(disk, layout, firmware)
    made.fill("boot-b", slot_files(folder, "b", firmware))
    return made


def held_against(machine: Machine, state: State, count: int, *, readable: tuple[int, ...] = (0, 1)) -> None:
    """Boot `count` times and compare every choice, and the state on the disk, with the pure state machine."""
    expected: list[tuple[Target, bool]] = []
    for _ in range(count):
        state, choice = state.boot()
        expected.append((choice.target, choice.trial))
    lines = machine.boots(count)
    assert [(Target(line.slot), line.trial) for line in lines] == expected
    for line in lines:
        assert line.root == f"PARTUUID={machine.layout.partition('root-' + line.slot).uuid}"
        assert line.data == f"PARTUUID={machine.layout.partition('data').uuid}"
    for copy in readable:
        # The machine may have begun its next boot when it was stopped.
        found = selector.decode_one(machine.copies()[copy])
        assert found in (state, state.boot()[0])


def test_a_trial_is_counted_down_and_then_given_up(machine: Machine) -> None:
    state = State().arm(Slot.B, 3)
    machine.put(selector.encode(state), selector.encode(state))
    held_against(machine, state, 5)


def test_a_torn_first_copy_leaves_the_second_to_decide(machine: Machine) -> None:
    state = State(active=Slot.B, good=frozenset({Slot.B})).arm(Slot.A, 1)
    torn = b"\xa5" * 512 + b"#" * 512
    machine.put(torn, selector.encode(state))
    held_against(machine, state, 2, readable=(1,))
    assert machine.copies()[0] == torn


def test_two_unreadable_copies_boot_a_system_that_is_there(bios: Machine) -> None:
    bios.put(bytes(1024), b"# GRUB Environment Block\nactive=z\n".ljust(1024, b"#"))
    assert [line.slot for line in bios.boots(2)] == ["a", "a"]
    bios.empty("boot-a")
    assert [line.slot for line in bios.boots(1)] == ["b"]


def test_a_committed_slot_that_never_comes_up_falls_back(bios: Machine) -> None:
    state = State(active=Slot.B, attempts=2, good=frozenset(Slot))
    bios.put(selector.encode(state), selector.encode(state))
    held_against(bios, state, 4)


def test_a_slot_without_slot_cfg_is_skipped_for_good(bios: Machine) -> None:
    state = State(active=Slot.B, good=frozenset(Slot))
    bios.put(selector.encode(state), selector.encode(state))
    bios.empty("boot-b")
    assert [line.slot for line in bios.boots(1)] == ["a"]
    found = selector.decode_one(bios.copies()[0])
    assert found.active is Slot.A
    assert found.good == {Slot.A}
    assert found.failed == {Slot.B}


def test_both_slots_failing_boots_rescue(bios: Machine, folder: Path) -> None:
    bios.fill("rescue", slot_files(folder, "rescue", "bios"))
    state = State(active=Slot.A, attempts=0)
    bios.put(selector.encode(state), selector.encode(state))
    (line,) = bios.boots(1)
    assert line.slot == "rescue"
    assert line.root == f"PARTUUID={bios.layout.partition('rescue').uuid}"


def test_rescue_is_booted_once_when_it_is_asked_for(bios: Machine, folder: Path) -> None:
    state = State().ask_rescue()
    bios.put(selector.encode(state), selector.encode(state))
    (line,) = bios.boots(1)
    assert line.slot == "a"  # there is none
    bios.fill("rescue", slot_files(folder, "rescue", "bios"))
    bios.put(selector.encode(state), selector.encode(state))
    assert [line.slot for line in bios.boots(2)] == ["rescue", "a"]
    assert selector.decode_one(bios.copies()[0]) == State(attempts=selector.ATTEMPTS - 1)


def test_an_empty_disk_says_so(bios: Machine) -> None:
    bios.empty("boot-a")
    bios.empty("boot-b")
    assert any("Neither slot holds a system" in text for text in bios.output())


def test_a_garbage_kernel_on_trial_ends_in_the_old_slot(bios: Machine, tmp_path: Path) -> None:
    for name in ("garbage", "initrd"):
        (tmp_path / name).write_bytes(b"\xf4" * 5000)
    image = tmp_path / "boot-garbage"
    write_boot(image, kernel=tmp_path / "garbage", initrd=tmp_path / "initrd", cmdline="gpt", size=8 * MIB, epoch=EPOCH)
    bios.fill("boot-b", image)
    state = State().arm(Slot.B, 2)
    bios.put(selector.encode(state), selector.encode(state))
    (line,) = bios.boots(1)
    assert (line.slot, line.trial) == ("a", False)
    assert selector.decode_one(bios.copies()[0]).failed == {Slot.B}


def test_a_grown_and_renamed_disk_boots(machine: Machine) -> None:
    """What the device does at its first boot: new identifiers, a longer data. Cut off between the two switches of the
    header, so that the array is in its other place, and an array of the old identifiers in the usual one.
    """
    sectors = machine.layout.table.sectors * 2
    with machine.disk.open("r+b") as disk:
        disk.truncate(sectors * SECTOR)
        found = gpt.read(lambda offset, size: os.pread(disk.fileno(), size, offset), sectors)
        ids = {one.number: UUID(int=1000 + one.number) for one in found.table.partitions}
        new = gpt.identify(gpt.grow(found.table, sectors), UUID(int=999), ids)
        for step in gpt.rewrite(found, new)[:-4]:
            if isinstance(step, Write):
                os.pwrite(disk.fileno(), step.data, step.offset)
        assert gpt.read(lambda offset, size: os.pread(disk.fileno(), size, offset), sectors).table.entries_at == 34
    machine.layout = Layout(new)
    held_against(machine, State(), 1)
