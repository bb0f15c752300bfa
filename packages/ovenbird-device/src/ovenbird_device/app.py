"""For programs that run on a device: `from ovenbird_device import app`. Needs nothing but the standard library.

The same for other languages: `python3 -m ovenbird_device.app wait-for-clock` and the other commands, the environment
(OVENBIRD_APP, OVENBIRD_STATE, OVENBIRD_WAIT_FOR_CLOCK), and exit code 125: do not start me again until somebody does.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .facts import addresses, hardware
from .facts.private import is_private
from .notify import notify

__all__ = [
    "STAY_DOWN",
    "clock_is_set",
    "dont_start_on_boot",
    "is_private",
    "model",
    "notify_ready",
    "private_addresses",
    "public_addresses",
    "wait_for_clock",
]

STAY_DOWN = 125
"""The exit code by which a program says: do not start me again until somebody does."""

_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # what adjtimex(2) returns while nobody keeps the clock
_PAUSE = 0.5


def wait_for_clock(timeout: float | None = None) -> bool:
    """Wait until the clock tells the time: many devices wake up in the past, and certificates are then not yet valid.

    `timeout` in seconds, None for ever. Returns whether the clock is set.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while not clock_is_set():
        left = _PAUSE if end is None else min(_PAUSE, end - time.monotonic())
        if left <= 0:
            return False
        time.sleep(left)
    return True


def clock_is_set(synchronized: Path = _SYNCHRONIZED, system: Path = Path("/sys")) -> bool:
    """Whether the network told the time in this boot, or a clock with a battery did when the kernel started."""
    if synchronized.exists() or _kept_by_kernel():
        return True
    return any(hardware.text(one) == "1" for one in system.glob("class/rtc/rtc*/hctosys"))


def _kept_by_kernel() -> bool:
    """Whether some program has set the kernel's clock by others and keeps it so (adjtimex(2), asking only)."""
    room = ctypes.create_string_buffer(512)  # struct timex is smaller on every machine; all zero: change nothing
    try:
        answer: int = ctypes.CDLL(None, use_errno=True).adjtimex(room)
    except (OSError, AttributeError):
        return False
    return 0 <= answer < _TIME_ERROR


def dont_start_on_boot(state: Path | None = None, processes: Path = Path("/proc")) -> None:
    """End this program if the boot started it, to wait until somebody starts it; else return.

    The first call in a boot notes the boot in the program's working state (OVENBIRD_STATE) and exits with 125.
    """
    folder = state or Path(os.environ.get("OVENBIRD_STATE", "."))
    boot = hardware.text(processes / "sys/kernel/random/boot_id")
    note = folder / ".ovenbird-boot"
    if hardware.text(note) == boot:
        return
    note.write_text(f"{boot}\n")
    raise SystemExit(STAY_DOWN)


def model() -> str:
    """What the machine calls itself: `Raspberry Pi 4 Model B Rev 1.4`, `QEMU Standard PC (Q35 + ICH9, 2009)`."""
    return hardware.model()


def private_addresses() -> list[str]:
    """This device's addresses that only its neighbours can reach, ordinary ones first."""
    return [one.address for one in addresses.read() if is_private(one.address)]


def public_addresses() -> list[str]:
    """This device's addresses that the whole internet could reach."""
    return [one.address for one in addresses.read() if not is_private(one.address)]


def notify_ready() -> None:
    """Tell systemd that the program does its work now (for units of `Type=notify`); nothing elsewhere."""
    notify("READY=1")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird_device.app", description="What programs ask of their device.")
    commands = parser.add_subparsers(dest="command", required=True)
    waiting = commands.add_parser("wait-for-clock", help="end once the clock tells the time")
    waiting.add_argument("--timeout", type=float, metavar="SECONDS", help="then end with code 1")
    commands.add_parser("model", help="what the machine calls itself")
    commands.add_parser("private-addresses", help="addresses that only neighbours can reach")
    commands.add_parser("public-addresses", help="addresses that everybody can reach")
    asking = commands.add_parser("is-private", help="whether an address is private: exit code 0 or 1")
    asking.add_argument("address")
    options = parser.parse_args(arguments)
    match options.command:
        case "wait-for-clock":
            return 0 if wait_for_clock(options.timeout) else 1
        case "is-private":
            return 0 if is_private(options.address) else 1
        case "model":
            print(model())
        case "private-addresses":
            print(*private_addresses(), sep="\n", end="\n" if private_addresses() else "")
        case _:
            print(*public_addresses(), sep="\n", end="\n" if public_addresses() else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
