"""`ovenbird capture` as people type it, and the words that make a root writable."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tool import Tool
from tests.unit.capture.machines import disk, ext4, fill, members, take
from tests.unit.read import images

from ovenbird.boards import board
from ovenbird.errors import UsageError
from ovenbird.vm import running
from ovenbird.vm.writable import WORD, direct, place


def test_the_list_is_printed(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("capture", "--list")
    assert done.code == 0
    assert "leave /etc/ssh/ssh_host_*" in done.out.splitlines()
    own = tmp_path / "own.rules"
    own.write_text("forget\nleave /srv  \n")
    assert tool.run("capture", "--list", "--rules", own).out == "leave /srv\n"


def test_what_it_prints(tool: Tool, tmp_path: Path) -> None:
    image = ext4(tmp_path / "root.img", fill(tmp_path / "tree"))
    out = tmp_path / "out"
    done = tool.run("capture", image, "--out", out, "--json", "--name", "hall", "--board", "pc")
    assert done.code == 0, done.err
    told = done.json()
    assert (told["tarball"], told["recipe"]) == (str(out / "root.tar.zst"), str(out / "ovenbird.toml"))
    assert 'name = "hall"' in (out / "ovenbird.toml").read_text()
    done = tool.run("capture", image, "--out", out)
    assert f"build it: ovenbird build {out}" in done.out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ((), 2, "says no machine"),
        (("absent.img",), 4, "cannot be reached by SSH"),
        (("./absent.img",), 2, "no such file"),
        (("x@y", "--slot", "a"), 2, "--slot and --partition are for disk images"),
        (("./absent.img", "--port", "22"), 2, "nothing of SSH is of use"),
        (("x@y", "--board", "toaster"), 2, 'no board "toaster"'),
        (("x@y", "--name", "Not A Name"), 2, "name"),
        (("x@y", "--rules", "absent.rules"), 2, "no such file"),
    ],
)
def test_mistakes_are_one_error(tool: Tool, tmp_path: Path, words: tuple[str, ...], code: int, part: str) -> None:
    done = tool.run("capture", *words, "--out", tmp_path / "out")
    assert done.code == code, done
    assert part in done.err
    assert "Traceback" not in done.err


def test_an_image_in_a_partition_is_no_slot(tmp_path: Path) -> None:
    image = disk(tmp_path / "disk.img", [("L", ext4(tmp_path / "root.img", fill(tmp_path / "tree")))])
    assert "/usr/bin/ping" in members(take(image, tmp_path / "out"))
    with pytest.raises(UsageError, match="has no slots"):
        take(image, tmp_path / "out", slot="b")


def test_a_slot_is_started_with_one_more_word(tmp_path: Path) -> None:
    made = images.build(tmp_path / "image")
    with direct(made.disk, board("vm"), WORD) as kernel:
        assert kernel.image.read_bytes() == bytes(images.KERNEL)
        words = kernel.cmdline.split()
        assert words[:3] == ["ovenbird.slot=a", "ovenbird.root=/dev/vda4", "ovenbird.data=/dev/vda7"]
        assert words[-1] == "ovenbird.writable"
        assert "quiet" in words
    with direct(made.disk, board("pc")) as kernel:
        assert "ovenbird.root=/dev/sda4" in kernel.cmdline
    assert place(made.disk) == tmp_path / "image/disk.writable.img"


def test_what_a_writable_root_does_not_go_with(tmp_path: Path) -> None:
    made = images.build(tmp_path / "image")
    target = running.Target(made.disk, board("vm"), "hello")
    for bios in (True, False):
        with (
            pytest.raises(UsageError, match="--writable"),
            running.session(target, writable=True, bios=bios, keep=not bios),
        ):
            pass
