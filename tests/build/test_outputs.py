"""What a build hands out: complete, as the manifest says, and made again only where something changed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ovenbird.recipe.load import load
from ovenbird_device.format import cmdline, netboot
from ovenbird_device.format.manifest import load_manifest
from tests.tool import HELLO, Project, Tool, digests

pytestmark = pytest.mark.build
LAST = ["stage cleanup", "tree", "root", "boot", "netboot", "disk"]
NETBOOT = {f"netboot/{name}" for name in ("manifest.json", "kernel", "initrd", "root.squashfs")}


def test_outputs_are_what_the_manifest_says(hello: Path) -> None:
    manifest = load_manifest((hello / "manifest.json").read_bytes())
    names = {"disk.img", "disk.bmap", "root.squashfs", "boot.vfat", "initrd", "kernel", *NETBOOT}
    there = {str(file.relative_to(hello)) for file in hello.rglob("*") if file.is_file()}
    assert there == {*names, "manifest.json"}
    assert set(manifest.outputs) == names
    assert {name: file.sha256 for name, file in manifest.outputs.items()} == digests(hello, sorted(names))
    assert all((hello / name).stat().st_size == file.size for name, file in manifest.outputs.items())
    assert manifest.recipe == load(HELLO).digest
    assert manifest.image.name == "hello"
    assert manifest.image.board == "vm"
    assert manifest.outputs["initrd"].size < 2_000_000


def test_what_boots_from_the_network_is_the_same_system(hello: Path) -> None:
    said = netboot.load((hello / "netboot/manifest.json").read_bytes())
    assert (said.name, said.board, said.architecture) == ("hello", "vm", "amd64")
    for file in said.files:
        assert (hello / "netboot" / file.file).stat().st_size == file.size
    assert {file.file: file.sha256 for file in said.files} == digests(
        hello / "netboot", sorted(file.file for file in said.files)
    )
    assert said.initrd.size < 3_000_000
    line = cmdline.parse(said.command_line)
    assert (line.hash, line.size, line.data) == (f"sha256:{said.root.sha256}", said.root.size, "tmpfs")
    # Once on the disk, not twice.
    for name in ("root.squashfs", "kernel"):
        assert (hello / name).samefile(hello / "netboot" / name)


def test_disk_is_sparse(hello: Path) -> None:
    status = (hello / "disk.img").stat()
    assert status.st_blocks * 512 < status.st_size / 3


def test_manifest_names_every_package_and_the_kernel(hello: Path) -> None:
    manifest = load_manifest((hello / "manifest.json").read_bytes())
    found = {package.name: package.version for package in manifest.packages}
    status = subprocess.run(
        ["unsquashfs", "-cat", hello / "root.squashfs", "var/lib/dpkg/status"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    blocks = [block for block in status.split("\n\n") if "Status: install ok installed" in block]
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        assert found[fields["Package"]] == fields["Version"]
    beside = set(found) - {block.split("\n", 1)[0].removeprefix("Package: ") for block in blocks}
    assert any(name.startswith("linux-image-") for name in beside)
    assert {"busybox-static", "grub-pc-bin", "grub-efi-amd64-bin"} <= beside
    assert any(manifest.kernel in name for name in beside)


def test_nothing_changed_makes_nothing(tool: Tool, hello: Path) -> None:
    times = {file: file.stat().st_mtime_ns for file in hello.iterdir()}
    assert tool.build(HELLO, "--out", hello) == []
    assert tool.explain(HELLO) == {}
    assert {file: file.stat().st_mtime_ns for file in hello.iterdir()} == times


def test_a_second_project_with_the_same_content_makes_nothing(tool: Tool, project: Project, hello: Path) -> None:
    assert tool.build(project.recipe) == []
    assert project.manifest() == load_manifest((hello / "manifest.json").read_bytes())


def test_one_file_changed_in_the_last_stage(tool: Tool, project: Project) -> None:
    tool.build(project.recipe)
    project.change("Welcome", f"{time.time_ns()}: welcome", file="stages/greeting/motd")
    because = tool.explain(project.recipe)
    assert list(because) == ["stage greeting", *LAST]
    assert because["stage greeting"] == ["file motd changed"]
    assert because["stage cleanup"] == ["stage greeting changed"]
    assert because["root"] == ["tree changed"]
    assert sorted(tool.build(project.recipe)) == sorted(because)
    motd = (project.folder / "stages/greeting/motd").read_text()
    command = ["unsquashfs", "-cat", str(project.out / "root.squashfs"), "etc/motd"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == motd
    assert tool.explain(project.recipe) == {}


def test_a_lost_output_is_put_back(tool: Tool, project: Project) -> None:
    tool.build(project.recipe)
    (project.out / "boot.vfat").unlink()
    assert tool.build(project.recipe) == []
    assert (project.out / "boot.vfat").exists()


def test_a_parameter_changed(tool: Tool, project: Project) -> None:
    tool.build(project.recipe)
    project.change('"os"', '{ use = "os", timezone = "Europe/Vienna" }')
    because = tool.explain(project.recipe)
    assert next(iter(because)) == "stage os"
    assert any("parameter timezone" in reason and "Europe/Vienna" in reason for reason in because["stage os"])
    assert not {"base", "kernel", "device", "initrd"} & set(because)


def test_a_package_added(tool: Tool, project: Project) -> None:
    tool.build(project.recipe)
    project.add('[base]\npackages = ["hello"]')
    because = tool.explain(project.recipe)
    assert any(reason.startswith("package hello is new (") for reason in because["base"])
    assert "kernel" not in because
    assert "initrd" not in because


def test_kernel_arguments_changed(tool: Tool, project: Project) -> None:
    tool.build(project.recipe)
    project.add(f'[boot]\ncmdline = ["ovenbird.test={time.time_ns()}"]')
    because = tool.explain(project.recipe)
    assert set(because) == {"tree", "root", "boot", "disk"} or set(because) == {"boot", "disk"}
    assert any(reason.startswith("cmdline") for reason in because["boot"])
    assert set(tool.build(project.recipe)) == set(because)


def test_text_for_people(tool: Tool, hello: Path) -> None:
    done = tool.run("build", HELLO, "--out", hello)
    assert done.code == 0
    assert "nothing has changed" in done.out
    assert f"ovenbird run {hello}" in done.out
    explained = tool.run("build", HELLO, "--out", hello, "--explain").out.splitlines()
    assert [line.split("  ")[0].strip() for line in explained][:3] == ["kernel", "base", "device"]
    assert all(line.endswith("kept") for line in explained)
