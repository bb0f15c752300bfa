"""Which disks may be written: by what lsblk says, in words of its own and of this machine's."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.flash.conftest import Card

from ovenbird.deliver.flash import cards
from ovenbird.errors import HostError, UsageError

GIB = 1 << 30


def disk(path: str, **more: object) -> dict[str, object]:
    """A line of lsblk's: a stick, unless told otherwise."""
    stick: dict[str, object] = {
        "path": path, "type": "disk", "size": 32 * GIB, "vendor": "Generic ", "model": "Flash Disk", "tran": "usb",
        "rm": True, "hotplug": True, "ro": False, "mountpoints": [None],
    }  # fmt: skip
    return stick | more


def partition(path: str, *places: str, **more: object) -> dict[str, object]:
    return disk(path, type="part", mountpoints=list(places), **more)


def parse(*disks: dict[str, object], system: Path = Path("/nowhere")) -> list[cards.Card]:
    return cards.parse(json.dumps({"blockdevices": disks}), system)


def refusal(*disks: dict[str, object], force: bool = False) -> str:
    """Why the first of the disks is refused, and what would help; empty if it is not."""
    found = parse(*disks)
    try:
        cards.judge(found[0], found, force=force)
    except UsageError as error:
        return f"{error} | {error.hint}"
    return ""


def test_a_stick_may_be_written_and_is_called_by_its_name() -> None:
    (found,) = parse(disk("/dev/sdb", children=[partition("/dev/sdb1")]))
    assert str(found) == "/dev/sdb (Generic Flash Disk, 32.0 GiB)"
    assert found.verdict == "yes"
    assert refusal(disk("/dev/sdb")) == ""


@pytest.mark.parametrize("place", ["/", "/boot/efi", "[SWAP]", "/home", "/usr"])
def test_the_systems_own_disk_is_refused_whatever_is_said(place: str) -> None:
    inside = disk("/dev/mapper/vg-root", type="lvm", mountpoints=[place])
    system = disk("/dev/sda", rm=False, tran="sata", children=[partition("/dev/sda1", children=[inside])])
    for force in (False, True):
        said = refusal(system, disk("/dev/sdb"), force=force)
        assert f"carries the system that runs here ({place})" in said
        assert "removable disks here: /dev/sdb (Generic Flash Disk, 32.0 GiB)" in said


def test_a_mounted_card_is_refused_with_the_command_that_frees_it() -> None:
    mounted = disk("/dev/sdb", children=[partition("/dev/sdb1", "/media/anna/BOOT"), partition("/dev/sdb2", "/mnt")])
    assert "umount /media/anna/BOOT && umount /mnt" in refusal(mounted)
    assert refusal(mounted, force=True) == ""


@pytest.mark.parametrize(
    ("more", "said", "forced"),
    [
        ({"rm": False, "hotplug": False, "tran": "nvme"}, "is not removable", ""),
        ({"ro": True}, "write-protected", "write-protected"),
        ({"size": 0}, "there is no card in /dev/sdb", "there is no card"),
        ({"children": [partition("/dev/sdb1", children=[disk("/dev/md0", type="raid1")])]}, "/dev/md0 is made of", ""),
    ],
)  # fmt: skip
def test_what_else_is_refused(more: dict[str, object], said: str, forced: str) -> None:
    assert said in refusal(disk("/dev/sdb", **more))
    assert forced in refusal(disk("/dev/sdb", **more), force=True)
    assert bool(refusal(disk("/dev/sdb", **more), force=True)) == bool(forced)


def test_a_card_in_a_built_in_reader_is_told_from_soldered_memory(tmp_path: Path) -> None:
    for name, kind in (("mmcblk0", "SD"), ("mmcblk1", "MMC")):
        (tmp_path / "class/block" / name / "device").mkdir(parents=True)
        (tmp_path / "class/block" / name / "device/type").write_text(f"{kind}\n")
    fixed = {"rm": False, "hotplug": False, "tran": None, "vendor": None, "model": None}
    found = parse(disk("/dev/mmcblk0", **fixed), disk("/dev/mmcblk1", **fixed), system=tmp_path)
    assert [one.removable for one in found] == [True, False]


def test_memory_disks_drives_and_empty_loops_are_no_cards() -> None:
    others = [
        disk("/dev/zram0"),
        disk("/dev/sr0", type="rom"),
        disk("/dev/loop0", type="loop", size=0, rm=False),
    ]
    assert parse(*others) == []


def test_what_is_named_wrongly_is_told(tmp_path: Path, device: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="there is no /dev/no-such-disk"):
        cards.choose(Path("/dev/no-such-disk"), force=False)
    with pytest.raises(UsageError, match="is no disk"):
        cards.choose(Path("/dev/null"), force=False)
    (tmp_path / "card.img").touch()
    with pytest.raises(UsageError, match="is a file, not a card") as caught:
        cards.choose(tmp_path / "card.img", force=False)
    assert caught.value.hint == f"--to {tmp_path}/card.img writes to a file"


def test_this_machines_disks_are_understood(card: Callable[[int], Card]) -> None:
    made = card(0)
    known = {one.path: one for one in cards.cards()}
    if made.path == made.backing:  # No loop devices for us: what there is, is read all the same.
        assert all(one.size >= 0 for one in known.values())
        return
    assert known[made.path].size == made.backing.stat().st_size
    with pytest.raises(UsageError, match="not removable"):
        cards.choose(made.path, force=False)
    assert cards.choose(made.path, force=True).path == made.path


@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_lsblk_says_ends_well_or_in_one_error(text: str) -> None:
    with suppress(HostError):
        cards.parse(text, Path("/nowhere"))
