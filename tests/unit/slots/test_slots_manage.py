"""The slots of a device in a file: status, commit, rollback, arm, and the selector's copies on a real FAT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.crash import reader
from tests.updates import Device, System

from ovenbird.image.disk import write_disk
from ovenbird.image.fat import write_fat
from ovenbird.image.layout import MIB, plan_card
from ovenbird_device.format import autoboot, fat, selector
from ovenbird_device.format.selector import SelectorError, Slot, State
from ovenbird_device.slots import disk as disks
from ovenbird_device.slots.disk import Note, SlotsError
from ovenbird_device.slots.grub import GrubStore
from ovenbird_device.slots.manage import Content, Slots
from ovenbird_device.slots.store import StoreError


def damage(device: Device, copy: int, data: bytes = b"\xff" * 512) -> None:
    """Overwrite a copy of the state."""
    start = device.layout.partition("select").offset
    with device.disk.open("r+b") as disk:
        found = reader.find(lambda at, size: os.pread(disk.fileno(), size, at), start, selector.COPIES[copy])
        assert found is not None
        os.pwrite(disk.fileno(), data, found.pieces[0])


def test_a_new_device(fresh: Device, systems: dict[str, System]) -> None:
    status = fresh.slots().status()
    assert (status.running, status.active, status.trial, status.rescue) == ("a", "a", "", False)
    a, b = status.slots
    assert (a.running, a.active, a.good, a.bootable, a.version) == (True, True, True, True, "1.0")
    assert a.hash == systems["1.0"].hash
    assert (b.running, b.active, b.good, b.bootable, b.version, b.hash) == (False, False, False, False, "", "")
    assert not status.damaged


def test_nothing_to_go_to(fresh: Device) -> None:
    before = fresh.disk.read_bytes()
    slots = fresh.slots()
    for event in (slots.rollback, slots.arm, lambda: slots.prepare(Slot.A), lambda: slots.arm(Slot.A)):
        with pytest.raises(SlotsError):
            event()
    slots.commit()
    assert fresh.disk.read_bytes() == before, "a state that is already there is not written again"


@pytest.mark.parametrize("copy", [0, 1])
def test_a_damaged_copy_is_repaired_by_the_next_change(fresh: Device, copy: int) -> None:
    damage(fresh, copy)
    assert fresh.slots().status().damaged
    assert fresh.slots().state() == State()
    fresh.slots().commit()
    assert not fresh.slots().status().damaged


def test_two_damaged_copies_take_the_running_slot(fresh: Device) -> None:
    damage(fresh, 0)
    damage(fresh, 1)
    fresh.running = Slot.B
    assert fresh.slots().commit() == State(active=Slot.B, good=frozenset({Slot.B}))
    assert not fresh.slots().status().damaged


def test_only_the_deciding_sectors_are_written(fresh: Device) -> None:
    before = fresh.disk.read_bytes()
    fresh.slots().prepare(Slot.B)
    damage(fresh, 0)
    fresh.slots().commit()
    after = fresh.disk.read_bytes()
    changed = {at // 512 for at in range(0, len(before), 512) if before[at : at + 512] != after[at : at + 512]}
    assert len(changed) <= 2


def test_a_select_without_copies_is_one_clear_error(fresh: Device) -> None:
    with fresh.disk.open("r+b") as disk:
        os.pwrite(disk.fileno(), bytes(4096), fresh.layout.partition("select").offset)
    with pytest.raises(SlotsError, match="selector"):
        fresh.slots().status()
    with pytest.raises(SlotsError, match="selector"):
        fresh.slots().commit()


def test_rescue_has_nothing_to_commit(fresh: Device) -> None:
    slots = fresh.slots()
    slots.disk = type(slots.disk)(slots.disk.places, None)
    with pytest.raises(SlotsError, match="rescue"):
        slots.commit()
    assert slots.status().running == ""
    assert slots.target() is Slot.B


def test_a_record_of_other_content_is_not_believed(fresh: Device) -> None:
    slots = fresh.slots()
    slots.remember(Slot.B, Content("sha256:other", "9.9"))
    assert fresh.slots().status().slots[1].version == "9.9"  # nothing on the disk says otherwise
    fresh.running = Slot.B
    fresh.slots().remember(Slot.A, Content("sha256:other", "9.9"))
    assert fresh.slots().status().slots[0].version == ""


def test_a_spoilt_record_is_none(fresh: Device) -> None:
    fresh.folder.mkdir(exist_ok=True)
    for text in ("", "{", "[]", '{"c": {}}', '{"a": {"hash": 1}}'):
        (fresh.folder / "slots.json").write_text(text)
        assert fresh.slots().status().slots[0].version == "1.0"


# ---- any order of events, cut at any sector --------------------------------------------------------------------------


class PowerCutError(Exception):
    """The power is gone."""


class Select:
    """The `select` partition in memory, and a power that fails after so many bytes have been written."""

    def __init__(self, base: bytes) -> None:
        self._base = base
        self.written: dict[int, bytes] = {}
        self.left: int | None = None
        self.size = len(base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def read_at(self, offset: int, size: int) -> bytes:
        found = bytearray(self._base[offset : offset + size])
        for at, data in self.written.items():
            if offset <= at < offset + size:
                found[at - offset : at - offset + 512] = data
        return bytes(found)

    def write_at(self, offset: int, data: bytes) -> None:
        assert offset % 512 == 0
        assert len(data) == 512
        if self.left is not None and self.left < 512:
            self.written[offset] = data[: self.left] + self.read_at(offset, 512)[self.left :]
            raise PowerCutError
        if self.left is not None:
            self.left -= 512
        self.written[offset] = data

    def flush(self) -> None:
        if self.left == 0:
            raise PowerCutError


cuts = st.one_of(st.none(), st.sampled_from([0, 512, 1024]), st.integers(0, 1023))
BASE: list[bytes] = []


class Life(RuleBasedStateMachine):
    """Installs, commits, rollbacks and arms through the store, GRUB's boots by the independent reader."""

    @initialize()
    def begin(self) -> None:
        self.select = Select(BASE[0])
        self.whole = {"a": 1, "b": 0}
        """The number of the system in each slot; 0: none that is whole."""
        self.failed: set[int] = set()
        self.number = 1
        self.running = "a"

    def change(self, event: str, cut: int | None, slot: str = "") -> bool:
        """One event of the device; False if the power failed in it."""
        self.select.left = cut
        store = GrubStore(self.select, Slot(self.running))
        try:
            match event:
                case "prepare":
                    store.change(lambda state: state.prepare(Slot(slot)))
                case "arm":
                    store.change(lambda state: state.arm(Slot(slot)))
                case "commit":
                    store.change(lambda state: state.commit(Slot(self.running)))
                case _:
                    store.change(lambda state: state.rollback())
        except PowerCutError:
            return False
        except SelectorError:
            return True
        finally:
            self.select.left = None
        return True

    @rule(prepare=cuts, arm=cuts, finish=st.booleans())
    def update(self, prepare: int | None, arm: int | None, finish: bool) -> None:
        active = GrubStore(self.select, Slot(self.running)).read().state.active
        slot = str(active.other)
        if slot == self.running:
            return
        if not self.change("prepare", prepare, slot):
            self.boot()
            return
        self.whole[slot] = 0
        if finish:
            self.number += 1
            self.whole[slot] = self.number
            self.change("arm", arm, slot)
        self.boot()

    @rule(cut=cuts)
    def healthy(self, cut: int | None) -> None:
        if not self.change("commit", cut):
            self.boot()

    @precondition(lambda self: self.whole["a"] and self.whole["b"])
    @rule(cut=cuts)
    def rollback(self, cut: int | None) -> None:
        self.change("rollback", cut)
        self.boot()

    @rule(times=st.integers(1, 4))
    def boots(self, times: int) -> None:
        for _ in range(times):
            self.boot()

    def boot(self) -> None:
        places = {"select": 0, "boot-a": -1, "boot-b": -1}
        copies: list[dict[str, str] | None] = []
        files: Sequence[reader.Found | None] = [
            reader.find(self.select.read_at, places["select"], name) for name in selector.COPIES
        ]
        for file in files:
            assert file is not None
            copies.append(reader.environment(b"".join(self.select.read_at(at, 512) for at in file.pieces)))
        assert any(copies), "no state can be read"
        grub = reader.Selector(copies, {slot: bool(number) for slot, number in self.whole.items()})
        slot, trial = grub.boot()
        assert slot != "none"
        assert self.whole[slot], "a slot without a whole system was booted"
        if trial:
            assert self.whole[slot] not in self.failed, "a failed system was tried again"
        for file, values in zip(files, grub.copies, strict=True):
            if values is not None and file is not None:
                at = file.pieces[0]
                self.select.written[at] = reader.changed(self.select.read_at(at, 512), values)
        state = next(copy for copy in grub.copies if copy is not None)
        self.failed |= {self.whole[one] for one in "ab" if state[f"failed_{one}"] == "1" and self.whole[one]}
        self.running = slot


def test_any_order_of_events_with_cuts(tmp_path: Path) -> None:
    block = selector.encode(State())
    write_fat(tmp_path / "select", dict.fromkeys(selector.COPIES, block), size=4 * MIB, label="S", epoch=0)
    BASE[:] = [(tmp_path / "select").read_bytes()]
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Life, settings=settings(max_examples=40, stateful_step_count=25))


class Dying(Select):
    """A medium on which one copy's sector has died: it can neither be read nor written."""

    dead: int = -1

    def read_at(self, offset: int, size: int) -> bytes:
        if offset <= self.dead < offset + size:
            raise OSError(5, "Input/output error")
        return super().read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> None:
        if offset == self.dead:
            raise OSError(5, "Input/output error")
        super().write_at(offset, data)


@pytest.mark.parametrize("copy", [0, 1])
def test_one_dead_sector_is_done_without(tmp_path: Path, copy: int) -> None:
    block = selector.encode(State())
    write_fat(tmp_path / "select", dict.fromkeys(selector.COPIES, block), size=4 * MIB, label="S", epoch=0)
    select = Dying((tmp_path / "select").read_bytes())
    file = reader.find(select.read_at, 0, selector.COPIES[copy])
    other = reader.find(select.read_at, 0, selector.COPIES[1 - copy])
    assert file is not None
    assert other is not None
    select.dead = file.pieces[0]
    store = GrubStore(select, Slot.A)
    assert store.change(lambda state: state.arm(Slot.B)).trial is Slot.B
    assert store.read().state.trial is Slot.B
    assert store.read().stale == (copy,)

    class Worn(Dying):
        def write_at(self, offset: int, data: bytes) -> None:
            raise OSError(5, "Input/output error")

    worn = Worn((tmp_path / "select").read_bytes())
    with pytest.raises(StoreError, match="cannot be written"):
        GrubStore(worn, Slot.A).change(lambda state: state.arm(Slot.B))
    assert GrubStore(worn, Slot.A).read().state == State()


# ---- a Raspberry Pi --------------------------------------------------------------------------------------------------


def card(folder: Path, systems: dict[str, System], **numbers: int) -> Slots:
    """The slots of a Pi's card in a file, with a device tree that has these numbers of the boot loader."""
    first = systems["1.0"]
    layout = plan_card(select=4 * MIB, boot=4 * MIB, root=2 * MIB, data=40 * MIB, digest="test")
    files = {autoboot.NAME: autoboot.encode(State()), "config.txt": b"#\n"}
    write_fat(folder / "select", files, size=4 * MIB, label="SELECT", epoch=0)
    boot = {"config.txt": b"[all]\n", "cmdline.txt": f"ovenbird.hash={first.hash}\n".encode()}
    write_fat(folder / "boot", boot, size=4 * MIB, label="BOOT", epoch=0)
    disk = folder / "card.img"
    write_disk(
        disk, layout=layout, select=folder / "select", boot=folder / "boot", root=first.root, digest="t", epoch=0
    )
    tree = folder / "tree/chosen/bootloader"
    tree.mkdir(parents=True)
    for name, number in numbers.items():
        (tree / name.replace("_", "-")).write_bytes(number.to_bytes(4, "big"))
    note = Note("a", "/dev/mmcblk0p5", first.hash, selector="autoboot")
    return Slots(disks.in_image(disk, note), folder / "state", folder / "image.json", folder / "tree")


def test_a_pi_from_update_to_rollback(tmp_path: Path, systems: dict[str, System]) -> None:
    slots = card(tmp_path, systems, build_timestamp=1669373653)
    assert slots.status().slots[0].bootable
    assert not slots.status().slots[1].bootable
    assert slots.disk.place("data").size == 40 * MIB
    with pytest.raises(SlotsError, match="no rescue"):
        slots.ask_rescue()
    target = slots.target()
    slots.prepare(target)
    with slots.disk.place("boot-b").open(writable=True) as blocks:
        blocks.write_at(0, (tmp_path / "boot").read_bytes())
    assert slots.arm(target, tries=3).tries == 1
    assert b"\n[tryboot]\nboot_partition=3\n" in select(slots)
    slots.rollback()
    assert b"\n#[tryboot]\n" in select(slots)
    assert slots.status().slots[1].failed
    before = select(slots)
    slots.commit()
    assert select(slots) == before, "a state that is already there is not written again"


def test_a_boot_loader_that_cannot_fall_back_takes_no_update(tmp_path: Path, systems: dict[str, System]) -> None:
    slots = card(tmp_path, systems, build_timestamp=1619712685)
    before = slots.disk.place("select").path.read_bytes()
    for event in (slots.target, lambda: slots.arm(Slot.B)):
        with pytest.raises(SlotsError, match="2021-04-29 and cannot fall back"):
            event()
    assert slots.status().active == "a"
    assert slots.disk.place("select").path.read_bytes() == before


def test_a_pis_damaged_sector_is_repaired(tmp_path: Path, systems: dict[str, System]) -> None:
    slots = card(tmp_path, systems)
    with slots.disk.place("select").open(writable=True) as blocks:
        place = fat.Volume(blocks.read_at).find(autoboot.NAME).extents[0].offset
        blocks.write_at(place, b"[all]\nboot_partition=3\n".ljust(512, b"#"))
    assert slots.status().damaged
    slots.commit()
    assert not slots.status().damaged
    assert slots.state() == State()


def select(slots: Slots) -> bytes:
    """The selector's sector."""
    with slots.disk.place("select").open() as blocks:
        volume = fat.Volume(blocks.read_at)
        return volume.read(volume.find(autoboot.NAME))
