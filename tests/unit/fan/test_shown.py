"""What is told of the fan: the card's words and graph, and the metrics by Prometheus' grammar."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.metrics.test_metrics import families

from ovenbird_device.facts.overview import Places, Reader
from ovenbird_device.fan import state
from ovenbird_device.history.counters import Counters
from ovenbird_device.metrics import collect
from ovenbird_device.web import fan

FACTS = state.FanFacts(
    state="regulating",
    kind="hwmon",
    output="amc6821/pwm1",
    speed=40,
    rpm=None,
    celsius=48.0,
    level=50.0,
    sensors=[state.FanSensor(name="lm75", celsius=48.0), state.FanSensor(name="cpu", celsius=None)],
    curve=[(40.0, 0), (50.0, 40), (70.0, 100)],
    steps=False,
    problem="",
    interval_s=2.0,
    updated_s=0.0,
)


def test_a_device_without_a_fan_shows_none(tmp_path: Path) -> None:
    assert fan.view(None) is None
    assert state.read(tmp_path) is None
    (tmp_path / state.FILE).write_text("nonsense")
    assert state.read(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "note", "level"),
    [
        ({}, "By its curve, at 50.0 °C.", "calm"),
        ({"rpm": 900}, "By its curve, at 50.0 °C. It makes 900 turns a minute.", "calm"),
        ({"state": "reported", "kind": "kernel"}, "The kernel's governor sees to it.", "calm"),
        ({"state": "reported", "kind": "chip"}, "Its chip alone sees to it.", "calm"),
        ({"state": "failsafe", "problem": "x"}, "At full speed, to be safe.", "hot"),
        ({"state": "failsafe", "problem": "x", "kind": "", "output": ""}, "Nothing drives it.", "hot"),
        ({"state": "silent"}, "Its service does not tell anything any more.", "hot"),
    ],
)
def test_the_card_in_words(changes: dict[str, object], note: str, level: str) -> None:
    card = fan.view(structs.replace(FACTS, **changes))
    assert card
    assert (card.note, card.level) == (note, level)


HEATS = st.lists(st.integers(-40, 150), min_size=1, max_size=8, unique=True).map(sorted)


@given(HEATS, st.lists(st.integers(0, 100), min_size=8, max_size=8), st.booleans(), st.none() | st.floats(-40, 150))
def test_the_graph_lies_in_its_box_and_rises(
    heats: list[int], speeds: list[int], steps: bool, level: float | None
) -> None:
    curve = list(zip(map(float, heats), sorted(speeds), strict=False))
    card = fan.view(structs.replace(FACTS, curve=curve, steps=steps, level=level))
    assert card
    assert card.curve
    points = [tuple(map(int, pair)) for pair in re.findall(r"(-?\d+) (-?\d+)", card.curve.line)]
    assert points[0][0] == 0
    assert points[-1][0] == fan.WIDTH
    assert all(0 <= x <= fan.WIDTH and 0 <= y <= fan.HEIGHT for x, y in points)
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert card.curve.now
    assert 0 <= card.curve.now[0] <= fan.WIDTH


def test_metrics_leave_out_what_is_not_known(tmp_path: Path) -> None:
    about = structs.replace(
        Reader(Places(image=tmp_path, fan=tmp_path, boot_note=tmp_path / "no")).overview(), fan=FACTS
    )
    counted = Counters(cpu={}, disks={}, networks={})
    found = families(collect.render(collect.Facts(about, counted, True, None, [], 0)))
    assert found["ovenbird_fan_speed_ratio"] == ['ovenbird_fan_speed_ratio{kind="hwmon",output="amc6821/pwm1"} 0.4']
    assert found["ovenbird_fan_sensor_celsius"] == ['ovenbird_fan_sensor_celsius{sensor="lm75"} 48.0']
    assert found["ovenbird_fan_state"][0] == 'ovenbird_fan_state{state="regulating"} 1'
    assert len(found["ovenbird_fan_state"]) == len(state.STATES)
    assert "ovenbird_fan_rpm" not in found
    without = families(collect.render(collect.Facts(structs.replace(about, fan=None), counted, True, None, [], 0)))
    assert not [name for name in without if "fan" in name]
