"""The account of a new system: the number of its home, and the password that it had in the slot before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovenbird_device.personal import account
from ovenbird_device.personal.places import Places

PASSWD = "root:x:0:0:root:/root:/bin/bash\nanna:x:1501:1501::/home/anna:/bin/bash\nshort\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A system that runs from slot b."""
    for name in ("root/etc", "root/home", "root/run/ovenbird", "data/slots/a/etc", "data/slots/b/etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text(PASSWD)
    (tmp_path / "root/run/ovenbird/boot").write_text("slot=b\ndata=ok\n")
    return Places(tmp_path / "root", tmp_path / "data")


def test_an_account_is_found_by_its_whole_name(places: Places) -> None:
    found = account.entry(places.etc / "passwd", "anna")
    assert found is not None
    assert found[2] == "1501"
    assert account.entry(places.etc / "passwd", "ann") is None
    assert account.entry(places.etc / "shadow", "anna") is None


def test_a_new_account_has_a_number_that_nobody_has(places: Places) -> None:
    assert account.number(places, "ben") == account.NUMBER
    line = f"x:x:{account.NUMBER}:1::/:/bin/sh\n"
    (places.etc / "passwd").write_text(PASSWD + line)
    assert account.number(places, "ben") == account.NUMBER + 1


def test_a_new_account_has_its_homes_number(places: Places) -> None:
    (places.root / "home/ben").mkdir()
    own = os.geteuid()
    if own == 0:  # Anybody else can give a folder to nobody, and is somebody already.
        os.chown(places.root / "home/ben", 1700, 1700)
        own = 1700
    assert account.number(places, "ben") == (own if 1000 <= own < 60000 else account.NUMBER)
    (places.etc / "passwd").write_text(f"{PASSWD}other:x:{own}:1::/:/bin/sh\n")
    assert account.number(places, "ben") == account.NUMBER


@pytest.mark.parametrize("word", ["$6$saltsalt$hashhashhash", "$y$j9T$abcdefgh$ijklmnop", "*", "!"])
def test_the_password_of_the_slot_before_is_kept(places: Places, word: str) -> None:
    (places.data / "slots/a/etc/shadow").write_text(f"root:*:1::::::\nben:{word}:20000:0:99999:7:::\n")
    (places.data / "slots/b/etc/shadow").write_text("ben:$6$saltsalt$itsownformer:20000:0:99999:7:::\n")
    assert account.kept_password(places, "ben") == word
    assert account.kept_password(places, "anna") == ""


@pytest.mark.parametrize("damage", ["", "ben", "ben:", "ben:in clear:1:", "ben:$6$a b$cccccccc:1:"])
def test_a_password_that_makes_no_sense_is_none(places: Places, damage: str) -> None:
    (places.data / "slots/a/etc/shadow").write_text(f"{damage}\n")
    assert account.kept_password(places, "ben") == ""


def test_without_the_initrds_note_no_slot_is_before(places: Places) -> None:
    (places.data / "slots/a/etc/shadow").write_text("ben:*:1::::::\n")
    (places.root / "run/ovenbird/boot").unlink()
    assert account.kept_password(places, "ben") == ""
