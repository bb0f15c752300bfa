"""`netboot/` as a build writes it: a manifest that a boot server takes, a folder that is read back like any image."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from ovenbird import boards
from ovenbird.errors import ImageError
from ovenbird.files import sha256_of
from ovenbird.image import netboot
from ovenbird.image.reading.disk import open_image, root_region
from ovenbird.image.reading.unpack import unpack_initrd, unpack_root
from ovenbird.recipe.load import load
from ovenbird_device.format import cmdline, cpio
from ovenbird_device.format import netboot as format_

HELLO = Path(__file__).parents[3] / "examples/hello"


def fill(folder: Path, *arguments: str, version: str = "1.0") -> None:
    recipe = load(HELLO).recipe
    (folder / "kernel").write_bytes(b"kernel")
    archive = io.BytesIO()
    with cpio.Writer(archive, mtime=0) as writer:
        writer.file("init", b"#!/bin/sh\n", 0o755)
    (folder / "initrd").write_bytes(archive.getvalue())
    tree = folder.with_name("tree")
    tree.mkdir()
    (tree / "file").write_text("content\n")
    subprocess.run(["mksquashfs", tree, folder / "root.squashfs", "-quiet", "-no-progress"], check=True)
    netboot.write_manifest(
        folder,
        recipe=replace(recipe, image=replace(recipe.image, version=version)),
        board=boards.board("vm"),
        kernel=folder / "kernel",
        initrd=folder / "initrd",
        root=folder / "root.squashfs",
        arguments=["console=ttyS0", "quiet", *arguments],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "netboot"
    made.mkdir()
    return made


def test_the_manifest_says_what_is_there(folder: Path) -> None:
    fill(folder)
    said = format_.load((folder / format_.MANIFEST).read_bytes())
    assert (said.name, said.version, said.board, said.architecture) == ("hello", "1.0", "vm", "amd64")
    for file in said.files:
        assert (sha256_of(folder / file.file), (folder / file.file).stat().st_size) == (file.sha256, file.size)
    line = cmdline.parse(said.command_line)
    assert (line.root, line.hash, line.size) == ("", f"sha256:{said.root.sha256}", said.root.size)
    assert (line.data, line.others) == ("tmpfs", ("console=ttyS0", "quiet", "ip=dhcp"))


def test_a_line_that_is_too_long_for_a_server_to_add_to_is_an_error(folder: Path) -> None:
    with pytest.raises(ImageError, match="characters") as caught:
        fill(folder, "x" * 1300)
    assert caught.value.hint is not None
    assert "[boot]" in caught.value.hint
    assert not (folder / format_.MANIFEST).exists()


def test_both_of_its_images_are_unpacked_again(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    opened = open_image(folder)
    unpack_root(root_region(opened), tmp_path / "root")
    unpack_initrd(opened, tmp_path / "initrd")
    assert (tmp_path / "root/file").read_text() == "content\n"
    assert (tmp_path / "initrd/init").read_text() == "#!/bin/sh\n"


def test_where_it_makes_sense() -> None:
    assert {name for name in boards.names() if netboot.makes_sense(boards.board(name))} == {
        "pc", "rpi", "vm", "vm-arm64",
    }  # fmt: skip
