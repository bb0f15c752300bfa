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
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ovenbird.vm.command import Boot
from ovenbird.vm.network import ADDRESS
from tests.vm.guest import GLANCE, PATIENCE, Guest, authorization, guest, wait
from tests.vm.updating import PASSWORD, Images

EVERY = 6.0
"""Seconds between two moments, on average."""
QUERY = "/update?force=1&allow_downgrade=1"


@dataclass(frozen=True)
class Settled:
    """What a device is that has nothing left to decide."""

    version: str
    slot: str


def send(device: Guest, bundle: Path) -> None:
    """Send a bundle; whether it arrives is not this one's business."""
    connection = http.client.HTTPConnection(ADDRESS, device.machine.port(80), timeout=PATIENCE)
    with suppress(OSError, http.client.HTTPException), bundle.open("rb") as content:
        headers = {**authorization(PASSWORD), "Content-Length": str(bundle.stat().st_size)}
        connection.request("POST", QUERY, body=content, headers=headers)
        connection.getresponse().read()
    connection.close()


def settled(device: Guest) -> Settled | None:
    """The system that runs, once it is committed, healthy, and no update is under way."""
    with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        health = device.health(GLANCE)
        if health["status"] != "ok" or health["system"]["state"] not in ("good", "committed"):
            return None
        slots, update = (device.ask("GET", path, timeout=GLANCE).json() for path in ("/slots", "/update"))
        if slots["trial"] == "" and slots["running"] == slots["active"] and update["state"] == "idle":
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
        return wait(there, 3 * PATIENCE, every=3.0)
    except TimeoutError as error:
        raise AssertionError(f"it did not become healthy again:\n{device.machine.console[-5000:]}") from error


@dataclass(frozen=True)
class Cut:
    """What a power cut at one moment leaves. `second`: seconds since the update began."""

    disk: Path
    second: float
    before: Settled
    after: Settled


@dataclass(frozen=True)
class Survivor:
    """A device and the cuts that it has to come back from, in the order of their moments."""

    device: Guest
    cuts: Sequence[Cut]

    def come_back(self, number: int) -> None:
        """Boot what a cut has left: it must end healthy, in one of the two systems."""
        cut = self.cuts[number]
        self.device.machine.power_cut()
        self.device.machine.restore(cut.disk)
        self.device.power_on()
        now = settle(self.device)
        print(f"cut after {cut.second:.1f} s: {cut.before} -> {now}")
        assert now in (cut.before, cut.after)
        assert self.device.overview()["image"]["version"] == now.version


@contextmanager
def survivor(images: Images, folder: Path, boot: Boot, cuts: int, seed: int) -> Generator[Survivor]:
    """A device that is updated from 1.0.0 to 1.1.0, and back as often as it takes to cut its power so many times."""
    chance = random.Random(seed)
    bundles = {version: images.bundle(version) for version in ("1.0.0", "1.1.0")}
    seen: list[Cut] = []
    with (
        guest(images.out("1.0.0"), folder, boot=boot, password=PASSWORD) as device,
        tempfile.TemporaryDirectory(dir=folder) as place,
    ):
        while len(seen) < cuts:
            seen += update_and_cut(device, bundles, chance, Path(place) / f"from-{len(seen)}")
        yield Survivor(device, sorted(chance.sample(seen, cuts), key=lambda cut: cut.second))


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
