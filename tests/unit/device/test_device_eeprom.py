"""The boot loader of a Pi 4 on the page of the updates, and its button, with the real agent and steward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import eeproms
from tests.unit.device import conftest
from tests.unit.device.conftest import PASSWORD, Device

from ovenbird_device.format import fat

HTML = {"Accept": "text/html"}
Start = Callable[..., Device]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a Pi 4 that runs from slot a of a card with a boot loader on board."""
    running: list[Device] = []

    def begin(code: int = 0, *, built: int | None = eeproms.OLD, carried: bool = True) -> Device:
        system = tmp_path / "sys"
        eeproms.tree(system / "firmware/devicetree/base", built)
        card = eeproms.card(tmp_path / "card", eeproms.files(tmp_path / "eeprom") if carried else None)
        device = conftest.start(tmp_path, "--system", str(system))
        running.append(device)
        device.note.write_text("slot=a\ntrial=0\nselector=autoboot\ndata=ok\netc=kept\n")
        places = {"disk": card, "system": system, "note": device.note, "state": tmp_path / "state"}
        device.start_steward(code, *(word for name, place in places.items() for word in (f"--{name}", str(place))))
        return device

    yield begin
    for device in running:
        conftest.stop(device)


def names(folder: Path) -> set[str]:
    """The files of the card's first partition."""
    with eeproms.disk(folder / "card/card.img").place("select").open() as blocks:
        return {file.path.lower() for file in fat.Volume(blocks.read_at).files()}


def test_it_is_updated_on_request(start: Start) -> None:
    device = start()
    with device.client() as client:
        page = client.get("/update", headers=HTML).text
        assert "No updates: The boot loader in this Pi&#39;s EEPROM is from 2020-09-03" in page
        assert "2026-02-23" in page
        assert "Sign in to update it" in page
        assert client.post("/eeprom").status_code == 401
        assert "recovery.bin" not in names(device.folder)
        client.auth = ("ovenbird", PASSWORD)
        assert client.get("/slots").json()["boot_loader"]["carried"] == eeproms.NEW
        answer = client.post("/eeprom")
        assert (answer.status_code, answer.json()) == (202, {"accepted": "reboot"})
        assert device.orders == ["--no-block --no-wall reboot"]
        assert {"pieeprom.upd", "pieeprom.sig", "recovery.bin"} <= names(device.folder)
        (change,) = client.get("/changes").json()["changes"]
        assert (change["action"], change["what"], change["done"]) == ("eeprom", "Update the boot loader", True)


def test_without_a_restart_nothing_is_asked_for(start: Start) -> None:
    device = start(1)
    with device.client(auth=("ovenbird", PASSWORD)) as client:
        assert client.post("/eeprom").status_code in (409, 503)
        assert "recovery.bin" not in names(device.folder)
        assert not client.get("/changes").json()["changes"][0]["done"]


def test_a_card_without_one_says_so(start: Start) -> None:
    device = start(carried=False)
    with device.client(auth=("ovenbird", PASSWORD)) as client:
        page = client.get("/update", headers=HTML).text
        assert "This card carries no boot loader" in page
        assert "Update the boot loader and restart" not in page
        answer = client.post("/eeprom")
        assert answer.status_code == 409
        assert "carries no boot loader" in answer.json()["error"]
        assert device.orders == []


def test_a_machine_without_an_eeprom_says_nothing_of_it(start: Start) -> None:
    device = start(built=None)
    with device.client(auth=("ovenbird", PASSWORD)) as client:
        assert "Boot loader" not in client.get("/update", headers=HTML).text
        assert client.get("/slots").json()["boot_loader"] is None
