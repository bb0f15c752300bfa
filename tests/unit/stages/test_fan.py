"""The stage `fan`: its script on a folder, and what a recipe can say wrong before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.errors import OvenbirdError
from ovenbird.recipe.load import load

RECIPE = """
[image]
name = "test"
version = "1"
board = "rpi"
[build]
stages = [
  {{ use = "fan", {words} }},
]
"""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ('curve = "45:0"', "`curve`"),
        ('curve = ["45-0"]', '`curve` cannot be "45-0"'),
        ('kick = "1"', "`kick`"),
        ("kick = 11", "must be at most 10"),
        ('mode = "fast"', "`mode`"),
        ('gpio = "1 8"', '`gpio` cannot be "1 8"'),
        ('pin = "18"', "has no parameter `pin`"),
        ('settings = "fan.toml"', "fan.toml"),
    ],
)
def test_a_wrong_parameter_is_one_error_with_its_line(tmp_path: Path, words: str, complaint: str) -> None:
    path = tmp_path / "ovenbird.toml"
    path.write_text(RECIPE.format(words=words))
    with pytest.raises(OvenbirdError) as raised:
        load(path)
    assert complaint in str(raised.value)
    assert "ovenbird.toml:8: " in str(raised.value)


def test_a_right_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "fan.toml").write_text("kick = 0\n")
    path = tmp_path / "ovenbird.toml"
    path.write_text(RECIPE.format(words='curve = ["45:0", "75.5:100"], gpio = "GPIO18", settings = "fan.toml"'))
    stage = load(path).stages[0]
    assert stage.arguments["curve"] == "45:0 75.5:100"
    assert stage.arguments["settings"] == "parameters/settings/fan.toml"
