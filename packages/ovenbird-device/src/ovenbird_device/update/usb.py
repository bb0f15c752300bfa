"""A bundle on a USB stick at boot: `python3 -m ovenbird_device.update.usb`, where the recipe allows it.

The stick is mounted read-only, and each `*.swu` in its top folder is handed to the steward, like one from the network;
it must be signed and welcome like any. A bundle is installed once: a stick that is left in would otherwise install it
again at every start, or take a device back and forth between two of them. Nothing is done during a trial.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .. import lean as lean  # before all others: see there

# isort: split
import msgspec

from ..facts import hardware
from ..format import FormatError, bundle, settings
from ..slots import disk, files
from ..slots.disk import SlotsError
from ..steward import client, protocol
from .snapshot import Update

NOTE = "usb.json"
POINT = Path("/run/ovenbird/usb")
_MOST_NOTED = 64
_MOST_FILES = 16
_KINDS = ("vfat", "exfat", "ext4", "iso9660")
_SETTLE = 20
_PIECE = 1 << 20
_ORDER = protocol.Update(reboot=False)


class Places(msgspec.Struct, frozen=True):
    """Where things are."""

    state: Path = files.FOLDER
    note: Path = disk.NOTE
    socket: Path = Path(protocol.SOCKET)
    settings: Path = Path("/") / settings.PATH


def main() -> int:
    """Look at each stick once. Returns the exit code."""
    places = Places()
    if not allowed(places):
        return 0
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(["udevadm", "settle", f"--timeout={_SETTLE}"], timeout=_SETTLE + 5, check=False)
    for device in sticks():
        if not _mount(device):
            continue
        try:
            if asyncio.run(offer(POINT, places)):
                return 0
        finally:
            subprocess.run(["umount", "--lazy", POINT], stdin=subprocess.DEVNULL, check=False)
    return 0


def allowed(places: Places) -> bool:
    """Whether the image allows it, and this boot is not a trial."""
    try:
        return settings.load(places.settings.read_bytes()).usb and not disk.read_note(places.note).trial
    except (OSError, FormatError, SlotsError):
        return False


def sticks(system: Path = Path("/sys"), devices: Path = Path("/dev"), boot: str = "") -> list[Path]:
    """The partitions (or whole disks without any) behind USB, except for the disk that this system runs from."""
    if not boot:
        with suppress(SlotsError):
            boot = disk.read_note(disk.NOTE).root_device.removeprefix("/dev/")
    found: list[Path] = []
    for folder in sorted((system / "block").glob("*")):
        real = folder.resolve()
        parts = sorted(part.parent.name for part in real.glob(f"{folder.name}*/partition"))
        ours = boot == folder.name or boot in parts
        if ours or "/usb" not in str(real) or hardware.text(real / "size") in ("", "0"):
            continue
        found += [devices / name for name in parts or [folder.name]]
    return found


def _mount(device: Path) -> bool:
    POINT.mkdir(mode=0o700, exist_ok=True)
    for kind in _KINDS:
        words = ["mount", "-t", kind, "-o", "ro,nosuid,nodev,noexec", str(device), str(POINT)]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
            if done.returncode == 0:
                return True
    return False


async def offer(folder: Path, places: Places) -> bool:
    """Hand each new bundle of a folder to the steward until one is armed; then restart, and True."""
    for file in sorted(folder.glob("*.swu"))[:_MOST_FILES]:
        try:
            with file.open("rb") as stream:
                digest = bundle.open_bundle(stream, _unjudged).digest
        except (OSError, FormatError) as error:
            _print(f"{file.name} is no bundle that can be read: {error}")
            continue
        status = await client.slots(places.socket)
        if status.trial:
            _print("a trial is armed already")
            return False
        if digest in noted(places) or any(slot.running and slot.bundle == digest for slot in status.slots):
            continue
        _print(f"installing {file.name}")
        try:
            last = await install(file, places.socket)
        except client.StewardError as error:
            _print(str(error))  # It was busy, or is not there: the next start tries again.
            continue
        if last is None or not (last.state == "armed" or last.touched):
            continue  # Refused: that costs nothing, and the same words signed by somebody else must not count.
        note(places, digest)
        if last.state == "armed":
            _print(f"{file.name} is installed; restarting to try it")
            await client.ask(places.socket, protocol.Reboot())
            return True
    return False


def _unjudged(signed: bytes, signature: bytes) -> None:
    """Who signed it is for the steward to say; here only its name is wanted."""


async def install(file: Path, socket: Path, order: protocol.Update = _ORDER) -> Update | None:
    """Let the steward install a bundle; returns how it ended. Raises StewardError if it did not take it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pump = threading.Thread(target=_pump, args=(file, writing), daemon=True)
    last: Update | None = None
    try:
        pump.start()
        async for update in client.update(socket, order, reading):
            if reading >= 0:  # The steward has its own by now; with ours open, a refusal would not end the pump.
                os.close(reading)
                reading = -1
            last = update
            if update.state == "failed":
                _print(update.message)
    finally:
        if reading >= 0:
            os.close(reading)
    await asyncio.to_thread(pump.join, 30)
    return last


def _pump(file: Path, writing: int) -> None:
    """The file into the pipe, as fast as it is taken. A stick that is pulled out ends it early."""
    try:
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                view = memoryview(piece)
                while view:
                    view = view[os.write(writing, view) :]
    except OSError as error:
        _print(f"{file.name}: {error.strerror}")
    finally:
        os.close(writing)


def noted(places: Places) -> Sequence[str]:
    """The digests of bundles that were installed before."""
    return files.load(places.state / NOTE, tuple[str, ...]) or ()


def note(places: Places, digest: str) -> None:
    """Keep that a bundle was installed. Data that cannot be written means that it is installed again."""
    with suppress(OSError):
        files.save(places.state / NOTE, (*noted(places), digest)[-_MOST_NOTED:])


def _print(text: str) -> None:
    print(f"ovenbird-usb: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
