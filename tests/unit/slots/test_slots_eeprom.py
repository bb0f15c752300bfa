"""A newer boot loader for a Pi 4, on real cards: carried, asked for, taken by a model of the ROM, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import eeproms
from tests.eeproms import CM4, NEW, OLD, PI4
from tests.vm.pi.firmware import Card, DoesNotBootError, Firmware, PowerCutError

from ovenbird_device.format import fat
from ovenbird_device.format.selector import Slot, State
from ovenbird_device.raspberry import eeprom
from ovenbird_device.slots.disk import SlotsError
from ovenbird_device.slots.manage import Slots


class Device:
    """A Pi 4 with a card and a state of its own. What its boot loader tells is what is in its EEPROM."""

    def __init__(self, folder: Path, *, carried: int | None = NEW, built: int = OLD) -> None:
        self.folder = folder
        self.image = None if carried is None else eeproms.files(folder / "eeprom", carried)
        self.card = eeproms.card(folder / "card", self.image)
        self.pi = Firmware(Card(self.card), PI4, eeprom=eeproms.image(built))
        self.state = folder / "state"
        self.trial = False

    def slots(self) -> Slots:
        found = eeproms.disk(self.card, trial=self.trial)
        built = next(one for one in (OLD, NEW, NEW + 1) if eeproms.image(one) == self.pi.eeprom)
        return Slots(found, self.state, self.folder / "image.json", eeproms.tree(self.folder / "tree", built))

    def settle(self) -> str:
        """As the unit does at a boot: only if something was asked for."""
        return self.slots().settle_boot_loader() if (self.state / eeprom.ASKED).exists() else ""

    def names(self) -> set[str]:
        with eeproms.disk(self.card).place("select").open() as blocks:
            return {file.path.lower() for file in fat.Volume(blocks.read_at).files()}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_from_a_boot_loader_that_cannot_fall_back_to_one_that_can(device: Device) -> None:
    before = device.card.read_bytes()
    status = device.slots().status().boot_loader
    assert status is not None
    assert (status.built, status.carried, status.hindrance, status.last) == (OLD, NEW, "", "")
    assert "2020-09-03 and cannot fall back" in status.problem
    with pytest.raises(SlotsError, match="cannot fall back"):
        device.slots().target()
    assert device.pi.boot().partition == 2, "what is only carried is nothing to the ROM"
    assert device.card.read_bytes() == before

    device.slots().ask_boot_loader()
    assert {"pieeprom.upd", "pieeprom.sig", "recovery.bin"} <= device.names()
    assert device.pi.boot().partition == 2
    assert device.pi.eeprom == eeproms.image(NEW)
    assert device.settle() == "The boot loader was updated from 2020-09-03 to 2026-02-23."
    assert device.card.read_bytes() == before, "it carries what it did"
    assert device.settle() == ""
    status = device.slots().status().boot_loader
    assert status is not None
    assert (status.problem, status.last) == ("", "The boot loader was updated from 2020-09-03 to 2026-02-23.")
    assert "not older than the one of 2026-02-23" in status.hindrance
    assert device.slots().target() is Slot.B


def test_one_sector_is_all_that_is_written(device: Device) -> None:
    """So that a plug pulled at any moment leaves a card that asks for all, or for nothing; both boot."""
    before = device.card.read_bytes()
    device.slots().ask_boot_loader()
    after = device.card.read_bytes()
    changed = [at for at in range(0, len(before), 512) if before[at : at + 512] != after[at : at + 512]]
    assert len(changed) == 1
    for content in (before, after):
        device.card.write_bytes(content)
        assert Firmware(Card(device.card), PI4, eeprom=eeproms.image(OLD)).boot().partition == 2


def test_the_plug_is_pulled_while_the_eeprom_is_written(device: Device) -> None:
    device.slots().ask_boot_loader()
    device.pi.cut_while_flashing = True
    with pytest.raises(PowerCutError):
        device.pi.boot()
    assert device.pi.boot().partition == 2
    assert device.pi.eeprom == eeproms.image(NEW)
    assert device.settle().startswith("The boot loader was updated")


def test_noted_and_not_written(device: Device) -> None:
    """The plug was pulled between the note and the card's sector."""
    device.slots().ask_boot_loader()
    note = (device.state / eeprom.ASKED).read_bytes()
    device.slots().settle_boot_loader()
    (device.state / eeprom.ASKED).write_bytes(note)
    device.pi.boot()
    assert device.settle() == "The boot loader is still that of 2020-09-03: the one of 2026-02-23 was not taken."
    device.slots().ask_boot_loader()
    device.pi.boot()
    assert device.pi.eeprom == eeproms.image(NEW)


def test_a_rom_that_does_not_look_leaves_all_as_it_was(device: Device) -> None:
    before = device.card.read_bytes()
    device.slots().ask_boot_loader()
    assert "was not taken" in device.settle()
    assert device.card.read_bytes() == before


def test_an_image_that_has_changed_on_the_card_is_not_asked_for(device: Device) -> None:
    with eeproms.disk(device.card).place("select").open(writable=True) as blocks:
        place = fat.Volume(blocks.read_at).find("eeprom.upd").extents[0].offset + 100 * 512
        blocks.write_at(place, b"\xa5" * 512)
        blocks.flush()
    before = device.card.read_bytes()
    with pytest.raises(SlotsError, match="not the one that its sum is of"):
        device.slots().ask_boot_loader()
    assert device.card.read_bytes() == before


def test_the_model_stops_at_a_bad_sum(device: Device) -> None:
    """What the sums are for: a ROM that is given such files does not come back by itself."""
    device.slots().ask_boot_loader()
    with eeproms.disk(device.card).place("select").open(writable=True) as blocks:
        blocks.write_at(fat.Volume(blocks.read_at).find("pieeprom.upd").extents[0].offset, bytes(512))
        blocks.flush()
    with pytest.raises(DoesNotBootError, match="bad signature"):
        device.pi.boot()
    assert device.pi.eeprom == eeproms.image(OLD)


@pytest.mark.parametrize(
    ("carried", "built", "model", "why"),
    [
        (None, OLD, "raspberrypi,4-model-b", "this card carries no boot loader"),
        (NEW, NEW, "raspberrypi,4-model-b", "not older than the one of 2026-02-23"),
        (NEW, NEW + 1, "raspberrypi,400", "not older than"),
        (NEW, OLD, "raspberrypi,4-compute-module", "use rpiboot"),
        (NEW, None, "raspberrypi,3-model-b", "no boot loader in an EEPROM"),
    ],
)
def test_why_not(tmp_path: Path, carried: int | None, built: int | None, model: str, why: str) -> None:
    device = Device(tmp_path, carried=carried)
    before = device.card.read_bytes()
    tree = eeproms.tree(tmp_path / "other", built, model)
    slots = Slots(eeproms.disk(device.card), device.state, tmp_path / "image.json", tree)
    with pytest.raises(SlotsError, match=why):
        slots.ask_boot_loader()
    assert device.card.read_bytes() == before
    assert not (device.state / eeprom.ASKED).exists()
    said = slots.status().boot_loader
    assert (said is None) == (built is None)
    assert said is None or why in said.hindrance


def test_not_during_a_trial(device: Device) -> None:
    device.trial = True
    with pytest.raises(SlotsError, match="a trial is under way"):
        device.slots().ask_boot_loader()
    device.trial = False
    device.card = eeproms.card(device.folder / "armed", device.image, state=State().arm(Slot.B, 1))
    with pytest.raises(SlotsError, match="waits for its restart"):
        device.slots().ask_boot_loader()


def test_a_card_that_asks_in_a_compute_module(tmp_path: Path) -> None:
    """Its ROM does not look, and its boot loader reads another partition: it boots, and nothing is asked any more."""
    card = eeproms.card(tmp_path / "card", eeproms.files(tmp_path / "eeprom"), CM4)
    before, state, image = card.read_bytes(), tmp_path / "state", tmp_path / "image.json"
    Slots(eeproms.disk(card), state, image, eeproms.tree(tmp_path / "pi4", OLD)).ask_boot_loader()
    module = Firmware(Card(card), CM4, eeprom=eeproms.image(OLD))
    assert module.boot().partition == 2
    assert module.eeprom == eeproms.image(OLD)
    tree = eeproms.tree(tmp_path / "cm4", OLD, "raspberrypi,4-compute-module")
    assert "was not taken" in Slots(eeproms.disk(card), state, image, tree).settle_boot_loader()
    assert card.read_bytes() == before
