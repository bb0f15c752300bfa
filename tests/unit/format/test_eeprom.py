"""An EEPROM's image, its sum, and the one sector that asks for it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.eeproms import NEW, image

from ovenbird_device.format import FormatError, eeprom

WHOLE = image(NEW)
NAMES = [*eeprom.CARRIED, *eeprom.CARRIED.values(), "RECOVERY.000", "AUTOBOOT.TXT", "CONFIG.TXT", "BOOTCODE.BIN"]
PLACED = [b"EEPROM  UPD", b"EEPROM  SIG", b"EEPROM  REC"]


def entry(name: bytes, attributes: int = 0x20) -> bytes:
    return name + bytes([attributes]) + b"\x11" * 20


def sector(*entries: bytes) -> bytes:
    return b"".join(entries).ljust(512, b"\0")


def test_what_an_image_says() -> None:
    said = eeprom.read_image(WHOLE)
    assert said.built == NEW
    assert eeprom.day(said.built) == "2026-02-23"
    assert eeprom.read_signature(eeprom.write_signature(said)) == said


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it has 0 bytes"),
        (WHOLE + bytes(3 * eeprom.SIZE), "it has 2097152 bytes, but the EEPROM of a Pi 4 has 524288"),
        (b"\x7fELF" + WHOLE[4:], "at byte 0 is no section"),
        (WHOLE[:4] + b"\x7f\xff\xff\xff" + WHOLE[8:], "at byte 0 is no section"),
        (WHOLE.replace(b"bootconf.txt", b"bootconf.old"), r"no bootconf\.txt"),
        (WHOLE.replace(b"BUILD_TIMESTAMP", b"BUILD_TIMESTOMP"), "when its boot loader was built"),
        (bytes(eeprom.SIZE), r"no bootconf\.txt"),
        (b"\xff" * eeprom.SIZE, r"no bootconf\.txt"),
    ],
)
def test_what_is_no_image(content: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        eeprom.read_image(content)


@given(st.lists(st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=16)), max_size=4))
def test_any_image_is_read_or_refused(changes: list[tuple[int, bytes]]) -> None:
    changed = bytearray(WHOLE)
    for place, content in changes:
        changed[place : place + len(content)] = content
    with suppress(FormatError):
        said = eeprom.read_image(bytes(changed))
        assert eeprom.read_signature(eeprom.write_signature(said)) == said


@given(st.binary(max_size=120))
def test_any_sum_is_read_or_refused(text: bytes) -> None:
    with suppress(FormatError):
        assert eeprom.write_signature(eeprom.read_signature(text)).split()[0] == text[:64]


def test_asking_is_three_names() -> None:
    before = sector(entry(b"SELECT     ", 0x08), entry(b"AUTOBOOTTXT"), *(entry(name) for name in PLACED))
    after = eeprom.asking(before)
    assert not eeprom.asks(before)
    assert eeprom.asks(after)
    assert [after[at : at + 11] for at in range(64, 160, 32)] == [b"PIEEPROMUPD", b"PIEEPROMSIG", b"RECOVERYBIN"]
    assert eeprom.carried(after) == before
    assert eeprom.carried(after.replace(b"RECOVERYBIN", b"RECOVERY000")) == before
    assert eeprom.carried(before) == before


@pytest.mark.parametrize("missing", range(3))
def test_asking_for_what_is_not_all_there(missing: int) -> None:
    there = [name for number, name in enumerate(PLACED) if number != missing]
    with pytest.raises(FormatError, match="the card carries no eeprom"):
        eeprom.asking(sector(*(entry(name) for name in there)))
    gone = [entry(b"\xe5" + name[1:] if number == missing else name) for number, name in enumerate(PLACED)]
    with pytest.raises(FormatError, match="the card carries no eeprom"):
        eeprom.asking(sector(*gone))


def test_another_recovery_is_not_touched() -> None:
    with pytest.raises(FormatError, match=r"has a recovery\.bin already"):
        eeprom.asking(sector(*(entry(name) for name in PLACED), entry(b"RECOVERYBIN")))


@given(st.lists(st.sampled_from(NAMES), unique=True, max_size=10), st.binary(max_size=64))
def test_taking_back_any_directory(names: list[str], rest: bytes) -> None:
    """Whatever is in it: only names of ours change, and to take back twice is to take back once."""
    shorts = [f"{name.split('.')[0]:8}{name.split('.')[1]:3}".encode() for name in names]
    before = sector(*(entry(short) for short in shorts), rest)[:512]
    after = eeprom.carried(before)
    assert eeprom.carried(after) == after
    assert len(after) == len(before)
    for place in range(0, 512, 32):
        assert after[place + 11 : place + 32] == before[place + 11 : place + 32]
    if "EEPROM.REC" not in names and not rest:
        assert not eeprom.asks(after)
