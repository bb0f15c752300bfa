"""[pi]: what a recipe may say to a Raspberry Pi's firmware, and one clear error for each contradiction."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import eeproms

from ovenbird.recipe.load import load
from ovenbird.recipe.problems import RecipeProblemsError

HEAD = '[image]\nname = "x"\nversion = "1"\nboard = "{board}"\n'


def write(folder: Path, text: str, board: str = "rpi") -> Path:
    (folder / "ovenbird.toml").write_text(HEAD.format(board=board) + text)
    return folder


def said(folder: Path, text: str, board: str = "rpi") -> str:
    """The one problem of a recipe, with its hint."""
    with pytest.raises(RecipeProblemsError) as raised:
        load(write(folder, text, board))
    (problem,) = raised.value.problems
    return f"{problem.message} {problem.hint or ''}"


def test_a_file_is_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "relay.dtbo").write_bytes(b"overlay")
    loaded = load(write(tmp_path, '[pi]\noverlays = ["relay.dtbo,gpio=17", "pi4-spidev"]\npwm = [12, 19]\n'))
    assert loaded.recipe.pi.overlays == (f"{tmp_path}/relay.dtbo,gpio=17", "pi4-spidev")
    assert loaded.recipe.pi.pwm == (12, 19)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("pwm = [4]", "GPIO 4 has no PWM"),
        ("pwm = [12, 18]", "GPIO 12 and 18 are the same channel"),
        ("camera = true\ngpu_memory = 64", "a camera needs at least 128"),
        ("gpu_memory = 8", "must be from 16 to 944"),
        ('lines = ["kernel=other"]', "belongs to the slots"),
        ('lines = ["boot_partition=1"]', "belongs to the selector"),
        ('lines = ["gpu_mem=16"]', "set `gpu_memory`"),
        ('lines = ["dtoverlay=x"]', "set `overlays`"),
        ('lines = ["include more.txt"]', "`include` is not possible"),
        ('lines = ["what ever"]', "no line of config.txt"),
        ('lines = ["' + "x=" + "y" * 100 + '"]', "at most 98 characters"),
        ('lines = ["hdmi_group=1", "hdmi_group=2"]', "`hdmi_group` is 1 and 2"),
        ('lines = ["[pi4]", "x=1", "[all]", "[pi4]", "x=2"]', "`x` is 1 and 2 under [pi4]"),
        ('lines = ["[pi4]", "x=1", "[pi3]", "[pi4]", "x=2"]', "`x` is 1 and 2 under [pi4]"),
        ('lines = ["[pi4]", "[tryboot]", "x=1", "[all]", "[tryboot]", "[pi4]", "x=2"]', "under [tryboot][pi4]"),
        ('parameters = ["i2c=on", "i2c=off"]', "`i2c` is on and off"),
        ('parameters = ["i2c arm"]', "no parameter"),
        ('overlays = ["disable-bt", "miniuart-bt"]', "leave one of both out"),
        ('overlays = ["a b"]', "no overlay"),
        ('overlays = ["./none.dtbo"]', 'there is no file "./none.dtbo"'),
        ("uart = 1", "must be true or false"),
        ("overlay = []", "unknown key `overlay` in [pi]"),
    ],
)
def test_one_clear_error(tmp_path: Path, text: str, what: str) -> None:
    assert what in said(tmp_path, f"[pi]\n{text}\n")


def test_the_same_entry_for_other_models_is_none(tmp_path: Path) -> None:
    load(write(tmp_path, '[pi]\nlines = ["x=1", "[pi4]", "x=2", "[pi3]", "x=3", "gpio=1=op", "gpio=2=op"]\n'))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[base]\nrelease = "bookworm"\n', 'cannot be built from bookworm.*write `release = "trixie"`'),
        ('[disk]\nrescue = "256M"\n', "has no rescue"),
        ("[update]\ntries = 2\n", "one boot to be healthy in"),
    ],
)
def test_what_the_board_cannot(tmp_path: Path, text: str, what: str) -> None:
    assert re.search(what, said(tmp_path, text))


def test_other_boards_have_no_such_section(tmp_path: Path) -> None:
    assert "the board is vm" in said(tmp_path, "[pi]\nuart = true\n", "vm")


@pytest.mark.parametrize(
    ("built", "recovery", "what"),
    [
        (eeproms.OLD, b"recovery", "is of 2020-09-03 and cannot fall back.*take one of 2022-10-18 or newer"),
        (eeproms.NEW, b"", r"no recovery\.bin beside .*pieeprom\.bin.*the same folder"),
        (0, b"recovery", "is no boot loader for a Pi 4: it has 4 bytes.*take a `pieeprom-DATE.bin`"),
    ],
)
def test_an_eeprom_that_would_not_do(tmp_path: Path, built: int, recovery: bytes, what: str) -> None:
    path = eeproms.files(tmp_path, built)
    if not built:
        path.write_bytes(b"none")
    path.with_name("recovery.bin").write_bytes(recovery)
    assert re.search(what, said(tmp_path, '[pi]\neeprom = "pieeprom.bin"\n'))


def test_an_eeprom_is_found_beside_the_recipe(tmp_path: Path) -> None:
    path = eeproms.files(tmp_path / "eeprom")
    assert load(write(tmp_path, '[pi]\neeprom = "eeprom/pieeprom.bin"\n')).recipe.pi.eeprom == path
    assert "there is no file" in said(tmp_path, '[pi]\neeprom = "none.bin"\n')
