"""What holds of the law whatever the curve, the readings and the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.fan.plant import Plant, live

from ovenbird_device.fan.law import FULL, UNREADABLE, Law, Memory, Point, decide

HEAT = st.floats(-20, 120, allow_nan=False)


@st.composite
def curves(draw: st.DrawFn, *, cold_start: bool = False, hot_end: bool = False) -> tuple[Point, ...]:
    """A curve that the settings would take; it begins at 0 and ends at 100 percent if it has to."""
    heats = sorted(draw(st.sets(st.integers(30, 85), min_size=2, max_size=6)))
    speeds = sorted(draw(st.lists(st.integers(1, 100), min_size=len(heats), max_size=len(heats))))
    if cold_start:
        speeds[0] = 0
    if hot_end:
        speeds[-1] = 100
    return tuple(Point(float(heat), speed) for heat, speed in zip(heats, speeds, strict=True))


@st.composite
def laws(draw: st.DrawFn, *, cold_start: bool = False, hot_end: bool = False) -> Law:
    return Law(
        draw(curves(cold_start=cold_start, hot_end=hot_end)),
        steps=draw(st.booleans()),
        hysteresis=draw(st.floats(0, 10)),
        minimum=draw(st.integers(0, 60)),
        kick=draw(st.floats(0, 3)),
        window=draw(st.floats(0, 60)),
    )


def targets(law: Law, readings: Sequence[float | None], interval: float = 2.0) -> list[int]:
    memory, found = Memory(), list[int]()
    for number, reading in enumerate(readings):
        memory, _ = decide(law, memory, reading, interval if number else 0.0)
        found.append(memory.target)
    return found


@given(laws(), HEAT, HEAT)
def test_hotter_is_never_slower(law: Law, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= law.target(low) <= law.target(high) <= law.target(UNREADABLE) == FULL


@given(laws(), st.lists(st.tuples(HEAT, st.floats(0, 30)), min_size=1, max_size=40))
def test_a_machine_that_was_always_hotter_has_the_faster_fan(law: Law, pairs: list[tuple[float, float]]) -> None:
    cooler = targets(law, [heat for heat, _ in pairs])
    hotter = targets(law, [heat + more for heat, more in pairs])
    assert all(one <= other for one, other in zip(cooler, hotter, strict=True))


@given(laws(), HEAT)
def test_the_points_are_met_and_a_fan_below_its_minimum_is_not_run(law: Law, heat: float) -> None:
    for point in law.points:
        expected = 0 if point.percent == 0 else max(point.percent, law.minimum)
        assert law.target(point.celsius) == expected
    assert law.target(heat) == 0 or law.target(heat) >= max(law.minimum, 1)


@given(laws(), st.lists(st.none() | HEAT, min_size=1, max_size=30), st.data())
def test_what_cannot_be_read_means_full_speed_at_once(
    law: Law, readings: list[float | None], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(readings)))
    found = targets(law, [*readings[:place], None, *readings[place:]])
    assert found[place] == FULL
    after = int(law.window / 2.0) if law.window % 2.0 else int(law.window / 2.0) - 1
    assert all(speed == FULL for speed in found[place : place + max(1, after)])


@given(laws(), st.lists(HEAT, min_size=2, max_size=40))
def test_a_rise_is_answered_at_once(law: Law, readings: list[float]) -> None:
    for reading, target in zip(readings, targets(law, readings), strict=True):
        assert target >= law.target(reading)


@given(laws(), st.floats(20, 100), st.lists(st.floats(0, 1), min_size=2, max_size=60))
def test_what_wavers_within_the_hysteresis_slows_nothing_down(law: Law, heat: float, shares: list[float]) -> None:
    found = targets(law, [heat + share * law.hysteresis for share in shares])
    assert all(after >= before for before, after in pairwise(found))


@given(laws(), st.floats(20, 100), st.lists(HEAT, max_size=20))
def test_a_steady_temperature_has_a_steady_speed(law: Law, heat: float, before: list[float]) -> None:
    found = targets(law, [*before, *[heat] * 80])
    settled = found[len(before) + 31 :]
    assert len(set(settled)) == 1
    assert law.target(heat) <= settled[0] <= law.target(heat + law.hysteresis)


@given(laws(cold_start=True), st.lists(st.none() | HEAT, min_size=2, max_size=60), st.floats(0.2, 3))
def test_a_fan_that_stood_still_is_kicked(law: Law, readings: list[float | None], interval: float) -> None:
    memory, still, left = Memory(), False, 0.0
    for reading in readings:
        memory, decision = decide(law, memory, reading, interval)
        if memory.target == 0:
            assert decision.speed == 0
            still, left = True, 0.0
            continue
        left = law.kick if still else max(0.0, left - interval)
        still = False
        assert decision.speed == (FULL if left > 0 else memory.target)
        assert decision.again == (left if left > 0 else math.inf)


def test_hysteresis_of_on_and_off() -> None:
    law = Law((Point(60, 100),), steps=True, hysteresis=10, kick=0, window=0)
    assert targets(law, [40, 59.9, 60, 55, 50.1, 49.9, 55, 59.9, 60]) == [0, 0, 100, 100, 100, 0, 0, 0, 100]


def test_the_window_holds_a_peak_for_as_long_as_it_is() -> None:
    law = Law((Point(40, 0), Point(60, 100)), hysteresis=0, window=6)
    assert targets(law, [40, 60, 50, 50, 50, 50]) == [0, 100, 100, 100, 50, 50]


# --- on a machine -----------------------------------------------------------------------------------------------------


@st.composite
def machines(draw: st.DrawFn) -> Plant:
    return Plant(
        capacity=draw(st.floats(15, 120)),
        still=draw(st.floats(0.04, 0.15)),
        moved=draw(st.floats(0.1, 0.5)),
        ambient=draw(st.floats(5, 35)),
    )


@settings(max_examples=60)
@given(
    machines(), laws(hot_end=True), st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([0.5, 1.0, 2.0])
)
def test_a_machine_that_full_speed_can_cool_does_not_overheat(
    plant: Plant, law: Law, loads: list[float], interval: float
) -> None:
    """It is never hotter than where full speed begins, and what one interval adds to that, whatever the load does."""
    limit = law.points[-1].celsius
    most = (limit - plant.ambient) * (plant.still + plant.moved)  # W: with these, full speed holds the limit
    lived = live(plant, law, lambda now: most * loads[int(now / 60) % len(loads)], 360, interval=interval)
    overshoot = most / plant.capacity * interval
    assert max(moment.celsius for moment in lived) <= limit + overshoot + 1e-6


@settings(max_examples=60)
@given(machines(), laws(cold_start=True), st.floats(0.5, 20), st.sampled_from([0.5, 2.0]))
def test_it_does_not_hunt(plant: Plant, law: Law, power: float, interval: float) -> None:
    """Under a steady load a fan that was started goes on for the whole window, whatever the machine is like."""
    lived = live(plant, law, lambda _: power, 900, interval=interval)
    starts = [after.seconds for before, after in pairwise(lived) if before.target == 0 and after.target > 0]
    for start in starts:
        still = [moment.seconds for moment in lived if moment.seconds > start and moment.target == 0]
        assert not still or min(still) - start >= law.window - interval


@settings(max_examples=40)
@given(machines(), st.floats(2, 12))
def test_the_default_settles(plant: Plant, power: float) -> None:
    """With the settings that nobody changed, the speed ends within a narrow band."""
    from ovenbird_device.fan.settings import Settings

    lived = live(plant, Settings().law, lambda _: power, 3600, interval=2.0)
    late = [moment for moment in lived if moment.seconds > 2700]
    changes = sum(before.target != after.target for before, after in pairwise(late))
    starts = sum(before.target == 0 < after.target for before, after in pairwise(late))
    assert starts <= 15, "it starts and stops all the time"
    if not starts:
        assert changes <= 60
        assert max(moment.target for moment in late) - min(moment.target for moment in late) <= 25
