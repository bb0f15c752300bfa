"""The plug is pulled at random moments of an update and of the first boots after it; the device must always come back.

One device lives through all cuts. The moments are spread over the time that a whole update has just taken, one in each
equal part of it, in random order; what each cut hit is printed. Killing the machine hides flushes that are missing:
these are found by replaying every write (`tests/crash`).
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ovenbird.vm.network import ADDRESS
from tests.vm.guest import PATIENCE, Guest, wait

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


def live_through(device: Guest, bundles: Mapping[str, Path], cuts: int, seed: int) -> None:
    """Cut the power so many times. `bundles` by version: those of the device's first system and of another one."""
    first = settle(device)
    other = _other(bundles, first)
    begin = time.monotonic()
    send(device, bundles[other])
    assert settle(device, other).slot != first.slot
    whole = time.monotonic() - begin
    chance = random.Random(seed)
    moments = [(number + chance.random()) * whole / cuts for number in range(cuts)]
    chance.shuffle(moments)
    for moment in moments:
        was = settle(device)
        sender = threading.Thread(target=send, args=(device, bundles[_other(bundles, was)]), daemon=True)
        sender.start()
        time.sleep(moment)
        update = _state(device)
        device.machine.power_cut()
        sender.join(60)
        device.machine.power_on()
        now = settle(device)
        print(f"cut after {moment:.1f} of {whole:.1f} s ({update}): {was} -> {now}")
        assert (now.version != was.version) == (now.slot != was.slot)
        assert device.overview()["image"]["version"] == now.version


def _other(bundles: Mapping[str, Path], running: Settled) -> str:
    (other,) = bundles.keys() - {running.version}
    return other


def _state(device: Guest) -> str:
    with suppress(OSError, http.client.HTTPException, ValueError):
        return str(device.ask("GET", "/update", timeout=2).json()["state"])
    return "away"
