"""Settings: whatever is right is read as it was meant, whatever is wrong is one line with file and line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ovenbird_device
from ovenbird_device.fan.law import Point
from ovenbird_device.fan.settings import KEYS, Choice, Mode, Settings, SettingsError, load, parse, write

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@st.composite
def points(draw: st.DrawFn) -> list[str]:
    heats = sorted(draw(st.sets(st.integers(-40, 150), min_size=1, max_size=8)))
    speeds = sorted(draw(st.lists(st.integers(0, 100), min_size=len(heats), max_size=len(heats))))
    speeds[-1] = max(speeds[-1], 1)
    return [f"{heat}:{speed}" for heat, speed in zip(heats, speeds, strict=True)]


@given(points(), st.sampled_from(Mode), st.integers(0, 100), st.lists(st.sampled_from(["cpu*", "a b", 'q"'])))
def test_what_is_written_is_read(curve: list[str], mode: Mode, minimum: int, sensors: list[str]) -> None:
    text = write({"curve": curve, "mode": str(mode), "minimum": minimum, "sensors": sensors, "kick": 0.5})
    read = parse(text, "fan.toml")
    assert [f"{point.celsius:g}:{point.percent}" for point in read.curve] == curve
    assert (read.mode, read.minimum, read.sensors, read.kick) == (mode, minimum, tuple(sensors), 0.5)


@given(st.dictionaries(st.sampled_from(KEYS) | WORDS, VALUES, max_size=5))
def test_any_toml_is_read_or_refused_in_one_line(table: dict[str, object]) -> None:
    text = write({f'"{key}"' if not re.fullmatch(r"[a-z]+", key) else key: value for key, value in table.items()})
    check(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    check(text)


def check(text: str) -> None:
    """Either settings whose law answers, or one good line that names a line of the file."""
    complaint = ""
    try:
        law = parse(text, "fan.toml").law
    except SettingsError as error:
        complaint = str(error)
    else:
        tomllib.loads(text)
        assert law.target(20) <= law.target(90)
    if complaint:
        found = re.match(r"fan\.toml:(\d+): \S", complaint)
        assert found, complaint
        assert 1 <= int(found[1]) <= text.replace("\r\n", "\n").count("\n") + 1
        assert complaint.isprintable()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("mode = 'curve'\ncurve = ['45:0', '55:40', '50:60']", 2, '"50:60" comes after "55:40", so it must be hotter'),
        ("curve = [\n  '45:0',\n  # '1:1'\n  '55:40',\n  '60:30',\n]", 5, "cannot be slower"),
        ("curve = []", 1, "no points"),
        ("curve = ['45:0', '50:0']", 1, "never turn"),
        ("curve = ['45']", 1, "no point"),
        ("curve = ['45:101']", 1, "not between"),
        ("curve = [45, 0]", 1, "list of points"),
        ("\n\nmod = 'steps'", 3, "did you mean `mode`?"),
        ("mode = 'fast'", 1, "one of curve, steps, on-off"),
        ("mode = 'on-off'\non = 50\noff = 50", 3, "has to be below"),
        ("on = true", 1, "number"),
        ("minimum = 101", 1, "from 0 to 100 percent"),
        ("kick = 'long'", 1, "number, in seconds"),
        ("output = 'gpio'", 1, "`gpio` does not say which"),
        ("gpio = '1 8'", 1, "GPIO18"),
        ("gpio = '18'\nfrequency = 25000", 2, "200 Hz at most"),
        ("pwm = 'pwm0'", 1, "pwmchip0/0"),
        ("interval = 60\nwindow = 30", 2, "shorter than"),
        ("[fan]\nmode = 'curve'", 1, "there is no setting `fan`"),
        ("mode = \n", 1, "not TOML"),
        ("a = 1\nb = [", 2, "not TOML"),
        ("sensors = ['a',\n'']", 2, "item 2 is empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(text, "fan.toml")
    assert str(raised.value).startswith(f"fan.toml:{line}: ")
    assert words in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: no such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"bytes\.toml: is not UTF-8 text"):
        load(tmp_path / "bytes.toml")
    (tmp_path / "long.toml").write_bytes(b"#" * (1 << 17))
    with pytest.raises(SettingsError, match="larger"):
        load(tmp_path / "long.toml")


def test_defaults_are_right_and_what_older_fans_had_can_be_said() -> None:
    assert parse("", "fan.toml") == Settings()
    # rpifand's own defaults, see docs/fan.md.
    text = 'mode = "steps"\ncurve = ["25:0", "30:20", "35:40", "40:60", "45:80", "50:100"]\nminimum = 0\n'
    law = parse(f'{text}gpio = "18"\ninterval = 10\nwindow = 180\nhysteresis = 0\nkick = 0', "fan.toml").law
    assert [law.target(heat) for heat in (20, 25, 29, 30, 44, 49.9, 50, 99)] == [0, 0, 0, 20, 60, 80, 100, 100]
    switch = parse('mode = "on-off"\non = 45\noff = 40', "fan.toml")
    assert switch.law.points == (Point(45, 100),)
    assert switch.law.hysteresis == 5
    assert switch.output is Choice.AUTO


# --- while an image is built ------------------------------------------------------------------------------------------


def make(folder: Path, own: str = "", **given: str) -> subprocess.CompletedProcess[str]:
    """Run what the stage runs, with nothing of Python's but its standard library."""
    command = [sys.executable, "-I", "-S", "-c"]
    command += [
        f"import sys; sys.path.insert(0, {str(Path(ovenbird_device.__file__).parents[1])!r});"
        "import runpy; runpy.run_module('ovenbird_device.fan.make', run_name='__main__', alter_sys=True)",
        str(folder / "fan.toml"),
        *([own] if own else []),
    ]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, check=False
    )


def test_parameters_become_the_file(tmp_path: Path) -> None:
    given = {"curve": "40:0 60:100", "minimum": "25", "inverted": "false", "gpio": "18", "output": "auto", "mode": ""}
    done = make(tmp_path, **given)
    assert (done.returncode, done.stderr) == (0, "")
    read = load(tmp_path / "fan.toml")
    assert read == Settings(curve=(Point(40, 0), Point(60, 100)), minimum=25, gpio="18")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"curve": "40:50 60:30"}, 'fan: `curve`: "60:30" is hotter than "40:50", so it cannot be slower\n'),
        ({"minimum": "much"}, "fan: `minimum` has to be a whole number, not much\n"),
        ({"output": "gpio"}, 'fan: `output` is "gpio", but `gpio` does not say which\n'),
    ],
)
def test_a_wrong_parameter_stops_the_build_in_one_line(tmp_path: Path, given: dict[str, str], line: str) -> None:
    done = make(tmp_path, **given)
    assert (done.returncode, done.stderr) == (1, line)
    assert not (tmp_path / "fan.toml").exists()


def test_a_file_of_ones_own_is_taken_as_it_is_or_refused_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("# mine\nkick = 2\n")
    assert make(tmp_path, str(own), curve="1:1").returncode == 0
    assert (tmp_path / "fan.toml").read_text() == own.read_text()
    own.write_text("# mine\n\nkik = 2\n")
    done = make(tmp_path, str(own))
    assert (done.returncode, done.stderr) == (1, "fan: mine.toml:3: there is no setting `kik`; did you mean `kick`?\n")
