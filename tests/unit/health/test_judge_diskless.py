"""The boots of a machine without a disk are judged as others are, and nothing is committed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from ovenbird_device.health import judge as judging
from ovenbird_device.health import network
from ovenbird_device.health.judge import Judge
from ovenbird_device.slots.disk import Disk
from ovenbird_device.slots.manage import Slots

from .test_watch import Scripted

SUM = "5" * 64


@pytest.mark.parametrize(("holds", "state"), [(True, "good"), (False, "unhealthy")])
def test_its_boots_are_judged_and_nothing_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: bool, state: str
) -> None:
    async def works() -> network.Network:
        return network.Network(network.Family("gateway", "eth0", "10.0.2.2"))

    async def judge() -> str:
        court = Judge(
            Slots(Disk({}, None, f"sha256:{SUM}", diskless=True), tmp_path),
            [Scripted("agent", [holds])],
            [],
            time.monotonic(),
            lambda: None,
            hold=0.1,
            linger=0.1,
            state=tmp_path / "health.json",
            trials=tmp_path / "trials",
            network_note=tmp_path / "network.json",
            guard=tmp_path / "guard",
            look_around=works,
        )
        task = asyncio.ensure_future(court.boot())
        while not (tmp_path / "health.json").exists() or f'"{state}"' not in (tmp_path / "health.json").read_text():
            assert not task.done()
            await asyncio.sleep(0.02)
        task.cancel()
        return (tmp_path / "health.json").read_text()

    monkeypatch.setattr(judging, "FINISHED", 0.2)
    assert f'"{state}"' in asyncio.run(judge())
