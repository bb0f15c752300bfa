"""`diff`: what changed between two builds, and nothing that did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.errors import ImageError
from ovenbird.image.reading.compare import compare
from ovenbird_device.format.selector import Slot, State

from .images import Images, build, disk, squash, tree


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A build."""
    return build(tmp_path_factory.mktemp("compare") / "one")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A later one."""
    return build(tmp_path_factory.mktemp("compare") / "two", version="1.1", hello="2.12")


def test_the_same_build_is_the_same(one: Images, tmp_path: Path) -> None:
    again = build(tmp_path / "again")
    for name in ("disk.img", "root.squashfs", "boot.vfat", "initrd"):
        assert compare(one.folder / name, again.folder / name).same
    assert compare(one.folder, again.folder).same


def test_two_roots(one: Images, two: Images) -> None:
    difference = compare(one.root, two.root)
    (root,) = difference.parts
    assert [(change.name, change.before, change.after) for change in root.packages] == [("hello:amd64", "2.10", "2.12")]
    changed = {change.path: change.what for change in root.files}
    assert changed == {"/usr/lib/ovenbird/image.json": ("content",), "/var/lib/dpkg/status": ("content",)}


def test_every_kind_of_change(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "before"), tree(tmp_path / "after")
    for folder in (before, after):
        (folder / "kept").write_text("kept")
        (folder / "mode").write_text("x")
        (folder / "link").symlink_to("kept" if folder is before else "mode")
    (before / "removed").write_text("12345")
    (after / "added").mkdir()
    (after / "mode").chmod(0o4755)
    (before / "turned").write_text("a file")
    (after / "turned").mkdir()
    difference = compare(squash(before, tmp_path / "a"), squash(after, tmp_path / "b"))
    found = {change.path: (change.what, change.before, change.after) for change in difference.parts[0].files}
    assert found == {
        "/added": (("added",), None, 0),
        "/link": (("target",), 0, 0),
        "/mode": (("mode",), 1, 1),
        "/removed": (("removed",), 5, None),
        "/turned": (("kind",), 6, 0),
    }


def test_two_disks(one: Images, two: Images) -> None:
    difference = compare(one.disk, two.disk)
    assert [part.name for part in difference.parts] == ["boot-a", "root-a"]
    boot = difference.parts[0]
    assert {change.path for change in boot.files} == {"cmdline.txt", "initrd", "slot.cfg"}


def test_a_disk_and_a_root_by_the_active_slot(one: Images, two: Images, tmp_path: Path) -> None:
    parts = {"boot-a": one.boot, "root-a": one.root, "boot-b": two.boot, "root-b": two.root}
    state = State().arm(Slot.B).commit(Slot.B)
    both = disk(tmp_path / "disk.img", parts, state)
    assert compare(both, two.root).same
    assert compare(two.boot, both).same
    assert not compare(both, one.root).same


def test_a_slot_that_was_filled(one: Images, two: Images, tmp_path: Path) -> None:
    parts = {"boot-a": one.boot, "root-a": one.root, "boot-b": two.boot, "root-b": two.root}
    difference = compare(one.disk, disk(tmp_path / "disk.img", parts))
    assert {part.name: part.content for part in difference.parts} == {
        "boot-b": "empty / FAT",
        "root-b": "empty / squashfs",
    }


def test_two_initrds(one: Images, two: Images) -> None:
    (part,) = compare(one.folder / "initrd", two.folder / "initrd").parts
    assert [(change.path, change.what) for change in part.files] == [("init", ("content",))]


def test_two_kinds_cannot_be_compared(one: Images) -> None:
    with pytest.raises(ImageError, match="cannot be compared"):
        compare(one.root, one.boot)
    with pytest.raises(ImageError, match="cannot be compared"):
        compare(one.disk, one.folder / "initrd")
