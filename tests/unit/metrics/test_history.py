"""Counters of the kernel, rings of samples, and the graphs that are drawn of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.history import counters, sampler
from ovenbird_device.history.counters import Counters, Traffic
from ovenbird_device.history.rings import KEPT, SERIES, STEP_S, Rings
from ovenbird_device.history.sampler import Sampler
from ovenbird_device.web import charts

DISKS = """   8       0 sda 100 0 2048 10 50 0 4096 20 0 30 30 0 0 0 0
   8       1 sda1 100 0 2048 10 50 0 4096 20 0 30 30 0 0 0 0
 179       0 mmcblk0 1 0 8 1 1 0 16 1 0 1 1
   7       0 loop0 9 9 9999 9 9 9 9999 9 9 9 9
"""
NETWORKS = """Inter-|   Receive                                      |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0
  eth0: 1000 5 0 0 0 0 0 0 2000 6 0 0 0 0 0 0
podman0: 77 1 0 0 0 0 0 0 77 1 0 0 0 0 0 0
"""


def test_counters() -> None:
    assert counters.cpu("cpu  100 0 50 850 0 0 0 0 0 0\ncpu0 1 2 3\n")["idle"] == 8.5
    assert counters.disks(DISKS) == {"sda": Traffic(1 << 20, 2 << 20), "mmcblk0": Traffic(4096, 8192)}
    assert counters.networks(NETWORKS) == {"eth0": Traffic(1000, 2000)}
    here = counters.read()
    assert here.cpu["idle"] > 0
    assert counters.read(Path("/nonexistent")) == Counters({}, {}, {})


@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    counters.cpu(text)
    counters.disks(text)
    counters.networks(text)


def test_shares_and_rates() -> None:
    before = Counters({"user": 10.0, "idle": 80.0, "iowait": 10.0}, {}, {})
    assert sampler.busy(before, Counters({"user": 12.5, "idle": 87.0, "iowait": 10.5}, {}, {})) == pytest.approx(0.25)
    assert sampler.busy(before, before) is None
    assert sampler.busy(before, Counters({"user": 1.0, "idle": 99.0}, {}, {})) is None  # went backwards
    assert sampler.rate({"a": Traffic(100, 0)}, {"a": Traffic(400, 30), "b": Traffic(999, 999)}, 30) == (10.0, 1.0)
    assert sampler.rate({"a": Traffic(100, 100)}, {"a": Traffic(60, 160)}, 30) == (2.0, 2.0)  # began anew
    assert sampler.rate({}, {}, 30) == (None, None)


def test_rings_are_bounded_and_in_order() -> None:
    rings = Rings(4)
    for number in range(6):
        rings.add({"cpu": float(number)})
    assert rings.series("cpu") == [2.0, 3.0, 4.0, 5.0]
    assert rings.series("memory") == [None] * 4
    rings.skip(1)
    assert rings.series("cpu") == [3.0, 4.0, 5.0, None]
    rings.skip(10**9)
    assert rings.series("cpu") == [None] * 4
    whole = Rings()
    assert whole.series("cpu") == []
    assert KEPT * STEP_S == 12 * 3600


def make(folder: Path) -> Sampler:
    """A sampler of a machine made of files."""
    (folder / "net").mkdir(parents=True)
    (folder / "stat").write_text("cpu  100 0 50 850 0 0 0 0 0 0\n")
    (folder / "diskstats").write_text(DISKS)
    (folder / "net/dev").write_text(NETWORKS)
    (folder / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 600 kB\n")
    return Sampler(folder, folder / "sys", folder)


def test_samples(tmp_path: Path) -> None:
    own = make(tmp_path)
    own.take()
    assert own.rings.count == 0  # the first one is what the others are compared to
    (tmp_path / "stat").write_text("cpu  200 0 50 950 0 0 0 0 0 0\n")
    own.take()
    found = own.history()
    by_name = {one.name: one for one in found.series}
    assert tuple(by_name) == SERIES
    assert by_name["cpu"].values == [0.5]
    assert by_name["memory"].values == [400 * 1024]
    assert by_name["temperature"].values == [None]
    assert (found.memory_total, found.step_s) == (1000 * 1024, 30.0)
    assert found.data_total > 0


def test_it_samples_by_itself(tmp_path: Path) -> None:
    own = make(tmp_path)

    async def scene() -> None:
        running = asyncio.create_task(own.run())
        await asyncio.sleep(0.05)
        running.cancel()

    asyncio.run(scene())
    assert own.memory_total == 1000 * 1024


def test_graphs(tmp_path: Path) -> None:
    own = make(tmp_path)
    own.take()
    for number in range(100):
        own.rings.add({"cpu": number / 100, "memory": 512000.0, "net_in": 5000.0, "temperature": 47.0 + number / 50})
    drawn = charts.charts(own)
    assert (drawn.title, drawn.seconds) == ("The last hour", 3600)
    assert [mark[1:] for mark in drawn.marks] == ["1 h", "30 min", "ow"]
    by_name = {one.name: one for one in drawn.charts}
    assert list(by_name) == ["Processor", "Memory", "Temperature", "Disk", "Network"]
    processor = by_name["Processor"].curves[0]
    assert processor.now == "99 %"
    assert processor.line.startswith("M")
    assert processor.line.endswith(f"L{charts.WIDTH} 2")
    assert (by_name["Temperature"].low, by_name["Temperature"].high, by_name["Temperature"].top) == (40, 60, "60 °C")
    assert by_name["Network"].top == "8.0 KiB/s"
    assert by_name["Network"].curves[0].now == "4.9 KiB/s"
    assert by_name["Disk"].curves[0].line == ""


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=2000), st.sampled_from([60, 120, 360, 720, 1440]))
def test_every_path_stays_in_its_box(values: list[float | None], steps: int) -> None:
    points = charts.thinned(values[-steps:], steps)
    assert len(points) <= 180
    line, area = charts.paths(points, 0, 1)
    for x, y in re.findall(r"(\d+) (\d+)", line + area):
        assert 0 <= int(x) <= charts.WIDTH + 1
        assert 0 <= int(y) <= charts.HEIGHT
    assert ("NaN" in line) is False
    assert bool(line) == any(point is not None for point in points)
