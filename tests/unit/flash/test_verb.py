"""`ovenbird flash` as its users have it: what it refuses, in one line, before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from tests.tool import Tool
from tests.unit.flash.conftest import Card

from ovenbird.deliver.flash import job
from ovenbird.errors import HostError


def test_cards_are_listed(tool: Tool) -> None:
    done = tool.run("flash", "--json")
    assert done.code == 0
    assert all({"path", "name", "size", "removable", "system"} <= set(one) for one in done.json())
    assert tool.run("flash").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/dev/no-such-disk"], "there is no /dev/no-such-disk"),
        (["/dev/null"], "/dev/null is no disk"),
        (["--to", "x.img", "--device", "kitchen"], "--device names a device of a file"),
        (["--to", "x.img", "--count", "2", "--hostname", "pi"], "2 devices cannot all be called pi"),
        (["--to", "x.img", "--hostname", "Not One"], "the command line: `hostname`"),
        (["--to", "x.img", "--wifi", "Nest"], 'the passphrase of "Nest" is missing'),
        (["--to", "x.img", "--password"], "there is no terminal to ask on"),
        (["--to", "x.img", "--secret", "token"], "APP/NAME=FILE"),
        (["--to", "x.img", "--ask"], "there is no terminal to ask on"),
        (["--to", "x.img", "--devices", "nothing.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line(
    tool: Tool, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    described = tmp_path / "disk.img"
    described.symlink_to(image)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    place = [str(described)] if "--to" in words else []
    done = tool.run("flash", *place, *words, env={"OVENBIRD_PASSWORD": "", "OVENBIRD_WIFI_PASSPHRASE": ""})
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "x.img").exists()


MANIFEST: dict[str, object] = {
    "image": {"name": "hello", "version": "1", "board": "vm", "architecture": "amd64"}, "recipe": "", "epoch": 1,
    "kernel": "", "outputs": {}, "packages": [], "steps": [],
}  # fmt: skip


def test_a_file_is_written_and_told_as_json(tool: Tool, image: Path, tmp_path: Path) -> None:
    (tmp_path / "disk.img").symlink_to(image)
    (tmp_path / "disk.bmap").symlink_to(image.with_suffix(".bmap"))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    done = tool.run("flash", tmp_path / "disk.img", "--to", tmp_path / "out-{n}.img", "--count", "2", "--json")
    assert done.code == 0, done.err
    first, second = done.json()
    assert (first["image"], Path(second["target"]).name) == ("hello 1", "out-2.img")
    assert (tmp_path / "out-1.img").read_bytes() == image.read_bytes()


def test_a_card_is_written_only_when_somebody_says_so(
    tool: Tool, image: Path, tmp_path: Path, card: Callable[[int], Card]
) -> None:
    made = card(0)
    (tmp_path / "disk.img").symlink_to(image)
    (tmp_path / "disk.bmap").symlink_to(image.with_suffix(".bmap"))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    before = made.backing.read_bytes()
    for words in ([], ["--force"], ["--yes"]):
        done = tool.run("flash", made.path, tmp_path / "disk.img", *words)
        assert done.code == 2, done.err
        assert made.backing.read_bytes() == before
    done = tool.run("flash", made.path, tmp_path / "disk.img", "--force", "--yes")
    if made.path == made.backing:  # Not a disk but a file, as this user can make no other: it is never taken for one.
        assert "is a file, not a card" in done.err
        return
    assert done.code == 0, done.err
    assert f"{made.path} (loop, " in done.out
    assert "read back in" in done.out


def test_one_card_after_the_other_is_asked_for(
    tool: Tool, image: Path, tmp_path: Path, card: Callable[[int], Card]
) -> None:
    """The reader is one, and so is the card here; what is put in is what is written."""
    made = card(0)
    (tmp_path / "devices.toml").write_text('[device."Card A"]\n[device."Card B"]\n[device."Card C"]\n')
    words = ["flash", str(made.path), str(image), "--devices", f"{tmp_path}/devices.toml", "--all", "--force"]
    if made.path == made.backing:  # Not a disk but a file, as this user can make no other: it is never taken for one.
        assert "is a file, not a card" in tool.run(*words).err
        return
    terminal: pexpect.spawn[str] = pexpect.spawn(
        tool.program[0], words, env=tool.environment(), timeout=600, encoding="utf-8"
    )
    try:
        for name in ("Card A", "Card B", "Card C"):
            if name != "Card A":
                terminal.expect(f"Put in the card for {name}, then press Enter")
                terminal.sendline("")
            terminal.expect("will be lost. Go on?")
            terminal.sendline("n" if name == "Card C" else "y")
            terminal.expect("nothing was written" if name == "Card C" else "read back in")
        terminal.expect("--from 'Card C' goes on with this one")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
    assert made.backing.read_bytes()[:4096] == image.read_bytes()[:4096]


def test_who_may_not_write_gets_the_command_that_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = tmp_path / "card"
    words = ["/opt/bin/ovenbird", "flash", str(card), "recipes/one two", "--hostname", "pi-{n}", "--yes"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(HostError, match="needs root, or membership in the group disk") as caught:
        job.may_write(card, Path("out/disk.img"))  # It is not there, so nobody may.
    image = Path("out/disk.img").resolve()
    assert caught.value.hint == f"sudo /opt/bin/ovenbird flash {card} {image} --hostname 'pi-{{n}}' --yes"
    card.touch()
    if os.access(card, os.W_OK):
        job.may_write(card, Path("out/disk.img"))
