"""The initrd's side of a Pi's selector: its own shell against `format/autoboot.py`, state by state and byte by byte."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.boards import board
from ovenbird.image.initrd import INIT
from ovenbird.image.layout import plan_card
from ovenbird.image.raspberry import write_select
from ovenbird_device.format import autoboot, mbr
from ovenbird_device.format.autoboot import booted
from ovenbird_device.format.selector import Slot, State

FUNCTIONS = INIT.read_text().partition("# --- the way through")[0] + "\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
MIB = 1 << 20
FLAGS = {True: "1", False: "0", None: ""}
NAMES = "active tried tries attempts good_a good_b failed_a failed_b"


def shell(script: str, *words: object, shell: str = "sh") -> str:
    """Run init's functions and then the script; returns what it prints."""
    command = [shell, "-c", FUNCTIONS + script, "init", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert done.stderr == ""
    return done.stdout


def values(state: State) -> list[str]:
    flags = [str(int(slot in group)) for group in (state.good, state.failed) for slot in Slot]
    return [state.active, state.trial or "-", str(state.tries), str(state.attempts), *flags]


def every_state() -> list[State]:
    subsets = [frozenset(group) for group in ((), (Slot.A,), (Slot.B,), tuple(Slot))]
    return [
        State(active, trial, tries, attempts, good, failed)
        for active, tries, attempts, good, failed in product(Slot, (0, 1), (0, 1, 6), subsets, subsets)
        for trial in (None, active.other)
    ]


def test_every_decision_is_the_same() -> None:
    cases = [(state, slot, flag) for state in every_state() for slot in Slot for flag in FLAGS]
    lines = [" ".join([*values(state), slot, FLAGS[flag] or "-"]) for state, slot, flag in cases]
    script = f"""
        while read -r {NAMES} slot tryboot; do
            [ "$tryboot" != - ] || tryboot=
            decide
            echo "$way $active $tried $tries $attempts $good_a $good_b $failed_a $failed_b"
        done
    """
    command = ["sh", "-c", FUNCTIONS + script]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(cases)
    for (state, slot, flag), line in zip(cases, said, strict=True):
        after, way = booted(state, slot, tryboot=flag)
        assert line.split() == [way, *values(after)], (state, slot, flag)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(every_state()))
def test_the_sector_is_the_same_byte_by_byte(state: State) -> None:
    script = f"{''.join(f'{name}=${number}; ' for number, name in enumerate(NAMES.split(), 1))} print_selector"
    assert shell(script, *values(state)).encode() == autoboot.encode(state)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(every_state()), st.integers(0, 511), st.sampled_from(b"0123ab#=x\n"))
def test_a_sector_is_read_or_refused_alike(
    tmp_path_factory: pytest.TempPathFactory, state: State, at: int, byte: int
) -> None:
    file = tmp_path_factory.mktemp("sector") / "autoboot.txt"
    script = 'read_selector "$1" && echo "' + " ".join(f"${name}" for name in NAMES.split()) + '" || echo none'
    sector = bytearray(autoboot.encode(state))
    file.write_bytes(sector)
    assert shell(script, file).split() == values(state)
    end = bytes(sector).index(b"\n", bytes(sector).index(b"# sha256="))
    if sector[at] == byte or at >= end:
        return
    sector[at] = byte
    file.write_bytes(sector)
    assert shell(script, file) == "none\n"


def test_the_selector_is_found_on_a_card(tmp_path: Path) -> None:
    """Its place on the disk, out of the boot sector's numbers."""
    layout = plan_card(select=16 * MIB, boot=4 * MIB, root=MIB, data=MIB, digest="x")
    select = tmp_path / "select"
    write_select(select, board=board("rpi"), firmware=firmware(tmp_path), epoch=0)
    with (tmp_path / "card").open("wb") as card:
        for step in mbr.writes(layout.table):
            card.seek(step.offset)
            card.write(step.data)
        card.seek(layout.partition("select").offset)
        card.write(select.read_bytes())
    # init looks below /dev and writes to /autoboot; here both are in a folder.
    text = FUNCTIONS.replace('"/dev/$1"', f'"{tmp_path}/$1"').replace(">/autoboot", f">{tmp_path}/autoboot")
    command = ["sh", "-c", text + "is_card card && echo $sector; is_card select || echo no"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    place, answer = done.stdout.split()
    assert answer == "no"
    sector = (tmp_path / "card").read_bytes()[int(place) * 512 : int(place) * 512 + 512]
    assert autoboot.decode_one(sector) == State()
    assert (tmp_path / "autoboot").read_bytes() == sector


def firmware(folder: Path) -> Path:
    (folder / "firmware").mkdir()
    (folder / "firmware/bootcode.bin").write_bytes(b"boot loader" * 1000)
    return folder / "firmware"
