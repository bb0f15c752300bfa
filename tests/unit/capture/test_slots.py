"""A disk of Ovenbird's as its machine sees it: the slot's root under what data has over it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.capture.machines import debugfs, members, take
from tests.unit.read import images

from ovenbird.capture.rules import Rules

ROOT = {
    "usr/sbin/init": "init\n",
    "etc/kept": "image\n",
    "etc/changed": "image\n",
    "etc/removed": "image\n",
    "etc/folder/old": "image\n",
    "etc/gone/below": "image\n",
    "var/lib/dpkg/status": "image\n",
    "var/lib/thing": "image\n",
    "home/anna/file": "image\n",
    "opt/app/state": "image\n",
    "usr/bin/tool": "image\n",
}
DATA = {
    "slots/a/etc/changed": "device\n",
    "slots/a/etc/folder/new": "device\n",
    "slots/b/etc/kept": "of another slot\n",
    "var/lib/thing": "device\n",
    "var/lib/dpkg/status": "of another image\n",
    "var/lib/more": "device\n",
    "home/anna/other": "device\n",
    "persist/opt/app/state": "device\n",
    "seeded/opt/app.list": "",
    "containers/storage": "large\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root image."""
    return images.squash(write(tmp_path / "root", ROOT), tmp_path / "root.squashfs")


def machine(tmp_path: Path, root: Path, data: dict[str, str], *commands: str) -> Path:
    """A disk with that root in slot a, and a file system of data."""
    image = tmp_path / "data.img"
    folder = write(tmp_path / "data", data)
    folder.mkdir(exist_ok=True)
    words: list[str | Path] = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", folder, image, "2M"]
    subprocess.run(words, check=True)
    debugfs(image, *commands)
    return images.disk(tmp_path / "disk.img", {"root-a": root, "data": image})


def contents(disk: Path, out: Path) -> dict[str, str]:
    found = members(take(disk, out, Rules(())))
    return {path: content.decode() for path, (info, content) in found.items() if info.isfile()}


def test_what_data_has_lies_over_the_root(tmp_path: Path, root: Path) -> None:
    disk = machine(
        tmp_path, root, DATA,
        "cd /slots/a/etc", "mknod removed c 0 0", "mknod gone c 0 0", "ea_set folder trusted.overlay.opaque y",
    )  # fmt: skip
    found = contents(disk, tmp_path / "out")
    assert found == {
        "/usr/sbin/init": "init\n",
        "/usr/bin/tool": "image\n",
        "/etc/kept": "image\n",
        "/etc/changed": "device\n",
        "/etc/folder/new": "device\n",
        "/var/lib/dpkg/status": "image\n",
        "/var/lib/thing": "device\n",
        "/var/lib/more": "device\n",
        "/home/anna/other": "device\n",
        "/opt/app/state": "device\n",
    }


def test_a_new_image_is_its_root(tmp_path: Path, root: Path) -> None:
    found = contents(machine(tmp_path, root, {}), tmp_path / "out")
    assert found == {f"/{name}": content for name, content in ROOT.items()}


def test_a_root_alone_and_its_folder_do_too(tmp_path: Path, root: Path) -> None:
    expected = {f"/{name}": content for name, content in ROOT.items()}
    assert contents(root, tmp_path / "out") == expected
    machine(tmp_path, root, {})
    assert contents(tmp_path, tmp_path / "other") == expected


def test_a_writable_root_is_one_overlay(tmp_path: Path, root: Path) -> None:
    data = {"writable/root/usr/bin/installed": "by hand\n", "writable/root/etc/changed": "by hand\n", **DATA}
    disk = machine(tmp_path, root, data, "cd /writable/root/usr/bin", "mknod tool c 0 0")
    captured = take(disk, tmp_path / "out", Rules(()))
    assert captured.notes[0] == "taken as it was run with a writable root"
    found = {path: content.decode() for path, (info, content) in members(captured).items() if info.isfile()}
    expected = {f"/{name}": content for name, content in ROOT.items() if name != "usr/bin/tool"}
    assert found == expected | {"/usr/bin/installed": "by hand\n", "/etc/changed": "by hand\n"}
