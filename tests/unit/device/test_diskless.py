"""A machine without a disk: what its page tells, and that it has no slots."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ovenbird_device.facts import boot
from ovenbird_device.facts.overview import DataFacts, Places, Reader
from ovenbird_device.slots.disk import NoSlotsError, locate, read_note
from ovenbird_device.web import view

from .conftest import Device

ROOT = "http://10.0.2.2:8080/images/hello/root.squashfs"
SUM = "5" * 64
NOTE = f"""\
slot=net
root={ROOT}
root_device=/toram/root
hash=sha256:{SUM}
trial=0
data=tmpfs
etc=fresh
var=volatile
network=1
overlays=http://10.0.2.2/kiosk.tar.gz#sha256={"1" * 64};http://10.0.2.2/fonts#sha256={"2" * 64}
home=http://10.0.2.2/home#sha256={"3" * 64}
swap=122 MiB zstd
switch_ms=5100
"""
HTML = {"Accept": "text/html"}


def test_the_note(tmp_path: Path) -> None:
    file = tmp_path / "boot"
    file.write_text(NOTE)
    said = boot.read_note(file)
    assert said.diskless is not None
    assert said.diskless.root == ROOT
    assert [one.partition("#")[0] for one in said.diskless.overlays] == [
        "http://10.0.2.2/kiosk.tar.gz",
        "http://10.0.2.2/fonts",
    ]
    assert (said.data, said.swap) == ("tmpfs", "122 MiB zstd")
    file.write_text(NOTE.replace("network=1", "network=0"))
    assert boot.read_note(file).diskless is None


def test_the_page(device: Device) -> None:
    device.note.write_text(NOTE)
    with device.client() as client:
        about = client.get("/").json()
        page = client.get("/", headers=HTML).text
        update = client.get("/update", headers=HTML).text
        storage = client.get("/storage", headers=HTML).text
    assert about["diskless"]["root"] == ROOT
    assert about["root_hash"] == f"sha256:{SUM}"
    assert about["data"]["state"] == "tmpfs"
    assert "Running from the network, all is well." in page
    for text in (ROOT, SUM, "kiosk.tar.gz", "Overlay 2", "10.0.2.2/home", "122 MiB zstd", "This machine has no slots"):
        assert text in page, text
    assert "of memory" in page
    assert "Its updates come from" in update
    assert 'id="upload"' not in update
    assert "stays in memory, until the machine is switched off" in storage


@pytest.mark.parametrize(
    ("state", "available", "full"),
    [("tmpfs", 2000, True), ("zram", 0, True), ("tmpfs", 30000, False), ("ok", 0, False)],
)
def test_what_is_full_is_said(device: Device, state: boot.DataState, available: int, full: bool) -> None:
    reader = Reader(Places(boot_note=device.note, data=device.folder, ready_stamp=device.folder / "ready"))
    data = DataFacts(state=state, reason="", total=65536, used=65536 - available, available=available)
    about = msgspec.structs.replace(reader.overview(), data=data)
    assert view.is_full(about) is full


def test_it_has_no_slots(tmp_path: Path) -> None:
    file = tmp_path / "boot"
    file.write_text(NOTE)
    with pytest.raises(NoSlotsError, match=f"booted from the network and has no slots: its system comes from {ROOT}"):
        locate(read_note(file))
