"""Images taken in, swapped and gone back to; nobody ever sees half of one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tool import Tool
from tests.unit.serve.making import make_out

from ovenbird.deliver.serve.images import Images
from ovenbird.errors import ImageError, UsageError
from ovenbird.progress import QuietProgress
from ovenbird_device.format import netboot

QUIET = QuietProgress()


def test_the_former_build_is_kept_and_gone_back_to(tmp_path: Path) -> None:
    """And back again; the one before it is gone."""
    there = Images(tmp_path / "state")
    for version in ("1.0", "1.1", "1.2"):
        image, changed = there.add(make_out(tmp_path / version, version=version, root=version.encode()), QUIET)
        assert (image.manifest.version, changed) == (version, True)
    assert len(list((there.folder / "thin").glob("*/root.squashfs"))) == 2
    old, new = there.rollback(None)
    assert (old.manifest.version, new.manifest.version) == ("1.2", "1.1")
    assert (there.current("thin").folder / "root.squashfs").read_bytes() == b"1.1"
    there.rollback("thin")
    assert there.current("thin").manifest.version == "1.2"
    assert there.add(tmp_path / "1.2", QUIET) == (there.current("thin"), False)
    # One that is the former one is taken for the current one again, without being copied.
    assert there.add(tmp_path / "1.1" / netboot.FOLDER, QUIET)[0].manifest.version == "1.1"
    former = there.former("thin")
    assert former is not None
    assert former.manifest.version == "1.2"


@given(st.lists(st.sampled_from(["1", "2", "3", "back"]), max_size=8))
@settings(max_examples=25, deadline=None)
def test_what_is_served_is_what_was_asked_for_last(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """Against a list of two."""
    folder = tmp_path_factory.mktemp("images")
    there = Images(folder / "state")
    wanted: list[str] = []
    for step in steps:
        if step != "back":
            there.add(make_out(folder / step, version=step, root=step.encode()), QUIET)
            wanted = wanted if wanted[:1] == [step] else [step, *wanted[:1]]
        elif len(wanted) == 2:
            there.rollback("thin")
            wanted.reverse()
        else:
            with pytest.raises(UsageError):
                there.rollback("thin")
    if wanted:
        former = there.former("thin")
        assert [there.current("thin").manifest.version, *([former.manifest.version] if former else [])] == wanted


def test_readers_see_whole_builds_while_images_are_swapped(tmp_path: Path) -> None:
    """Its manifest, and the files that it names, at every moment."""
    there = Images(tmp_path / "state")
    outs = [make_out(tmp_path / str(n), version=str(n), root=str(n).encode() * 100_000) for n in range(2)]
    there.add(outs[0], QUIET)
    stop, wrong = threading.Event(), list[str]()

    def look() -> None:
        while not stop.is_set():
            image = there.current("thin")
            content = (image.folder / "root.squashfs").read_bytes()
            if content != image.manifest.version.encode() * 100_000:
                wrong.append(image.id)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(30):
        there.add(outs[n % 2], QUIET)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files_that_are_not_what_the_manifest_names_are_not_served(tmp_path: Path) -> None:
    """And leave nothing behind."""
    there = Images(tmp_path / "state")
    there.add(make_out(tmp_path / "good"), QUIET)
    bad = make_out(tmp_path / "bad", version="2.0")
    (bad / "netboot/root.squashfs").write_bytes(b"hsqs r00t")
    with pytest.raises(ImageError, match=r"root\.squashfs is not the file"):
        there.add(bad, QUIET)
    (bad / "netboot/kernel").unlink()
    with pytest.raises(ImageError, match="kernel is missing"):
        there.add(bad, QUIET)
    assert there.current("thin").manifest.version == "1.0"
    assert {path.name for path in (there.folder / "thin").iterdir()} == {"kept.json", there.current("thin").id}


def test_the_verbs(tool: Tool, tmp_path: Path) -> None:
    """As users type them, with each thing that is wrong."""
    state = ("--state", tmp_path / "state")
    for version in ("1.0", "1.1"):
        made = make_out(tmp_path / version, version=version, root=version.encode())
        assert f"serving thin {version}" in tool.run("serve", "add", made, *state).out
    assert tool.run("serve", "images", *state, "--json").json()[0]["former"].startswith("1.0 ")
    assert "serving thin 1.0" in tool.run("serve", "rollback", *state).out
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, message in (
        (("add", empty, *state), "this folder has no images"),
        (("add", tmp_path / "none", *state), "there is no such folder"),
        (("rollback", "thim", *state), "did you mean `thin`?"),
        (("--state", empty), "there are no images to serve"),
        ((*state, "--interface", "nowhere0"), "there is no interface nowhere0"),
        ((*state, "--dhcp", "ful"), "did you mean `full`?"),
        ((*state, "--print", "dns"), '--print cannot be "dns"'),
        ((*state, "--address", "203.0.113.9"), "is no address of this machine"),
    ):
        done = tool.run("serve", *words)
        assert done.code == 2, done
        assert message in done.err
        assert len(done.err.strip().splitlines()) <= 2
    unit = tool.run("serve", "--interface", "eth7", "--dhcp", "full", "--unit").out
    assert "--interface eth7 --dhcp full" in unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit
