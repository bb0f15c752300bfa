"""The plug is pulled at random moments of an update and of the first boots after it; the device must always come back.

A whole update runs, and at random moments the machine is held for as long as it takes to copy its disk: the bytes that
are on it then are what a cut at that moment leaves. Each copy is booted, and must end in a healthy system. This hides
flushes that are missing: those are found by replaying every write (`tests/crash`).
"""

from __future__ import annotations

import http.client
import random
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ovenbird.vm.network import ADDRESS
from tests.vm.guest import PATIENCE, Guest, wait

EVERY = 6.0
"""Seconds between two moments, on average."""
PATHS = ("/health", "/slots", "/update")
QUERY = "/update?force=1&allow_downgrade=1"
CREDENTIALS = "Basic b3ZlbmJpcmQ6dG9iYWstbWlydW4tZGVwb2w="  # ovenbird:tobak-mirun-depol


@dataclass(frozen=True)
class Settled:
    """What a device is that has nothing left to decide."""

    version: str
    slot: str


def send(device: Guest, bundle: Path) -> None:
    """Send a bundle; whether it arrives is not this one's business."""
    connection = http.client.HTTPConnection(ADDRESS, device.machine.port(80), timeout=PATIENCE)
    with suppress(OSError, http.client.HTTPException), bundle.open("rb") as content:
        headers = {"Authorization": CREDENTIALS, "Content-Length": str(bundle.stat().st_size)}
        connection.request("POST", QUERY, body=content, headers=headers)
        connection.getresponse().read()
    connection.close()


def settled(device: Guest) -> Settled | None:
    """The system that runs, once it is committed, healthy, and no update is under way."""
    with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        health, slots, update = (device.ask("GET", path, timeout=20).json() for path in PATHS)
        decided = slots["trial"] == "" and slots["running"] == slots["active"] and update["state"] == "idle"
        if decided and health["status"] == "ok" and health["system"]["state"] in ("good", "committed"):
            return Settled(update["running"]["version"], slots["active"])
    return None


def settle(device: Guest, version: str | None = None) -> Settled:
    """Wait until the device is healthy in a committed system (of this version)."""

    def there() -> Settled | None:
        if not device.machine.running:
            device.machine.wait_for("(?!)", 0)  # Raises, with the console's last lines.
        found = settled(device)
        return found if found and version in (None, found.version) else None

    try:
        return wait(there, 3 * PATIENCE, every=1.0)
    except TimeoutError as error:
        raise AssertionError(f"it did not become healthy again:\n{device.machine.console[-5000:]}") from error


@dataclass(frozen=True)
class Cut:
    """What a power cut at one moment leaves. `second`: seconds since the update began."""

    disk: Path
    second: float
    before: Settled
    after: Settled


def live_through(device: Guest, bundles: Mapping[str, Path], cuts: int, seed: int) -> None:
    """Cut the power so many times. `bundles` by version: those of the device's first system and of another one."""
    chance = random.Random(seed)
    seen: list[Cut] = []
    with tempfile.TemporaryDirectory(dir=device.disk.parent) as folder:
        while len(seen) < cuts:
            seen += update_and_cut(device, bundles, chance, Path(folder) / f"from-{len(seen)}")
        for cut in sorted(chance.sample(seen, cuts), key=lambda cut: cut.second):
            device.machine.power_cut()
            device.machine.restore(cut.disk)
            device.power_on()
            now = settle(device)
            print(f"cut after {cut.second:.1f} s: {cut.before} -> {now}")
            assert now in (cut.before, cut.after)
            assert device.overview()["image"]["version"] == now.version


def update_and_cut(device: Guest, bundles: Mapping[str, Path], chance: random.Random, folder: Path) -> list[Cut]:
    """One whole update, and what a cut at each of some moments of it would have left."""
    before = settle(device)
    (other,) = bundles.keys() - {before.version}
    disks: dict[Path, float] = {}
    begin = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(send, device, bundles[other])
        ended = pool.submit(settle, device, other)
        while not ended.done():
            time.sleep(chance.uniform(0, 2 * EVERY))
            disk = folder / str(len(disks))
            disks[disk] = time.monotonic() - begin
            device.machine.snapshot(disk)
        after = ended.result()
    assert after.slot != before.slot
    return [Cut(disk, second, before, after) for disk, second in disks.items()]
