"""The program: `ovenbird-fan`, which is `python3 -m ovenbird_device.fan` (root).

Without an option it is the daemon. `--check` tells what it would do, `--test` runs the fan through its speeds, and
`--full` is what the unit does when the daemon has ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from . import state
from .daemon import TESTED, Daemon, Places, full, runs
from .outputs import choose, keeping
from .outputs.output import OutputError
from .sensors import Sensors
from .settings import PATH, Settings, SettingsError, load

_UNIT = "ovenbird-fan.service"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it. Returns the exit code: 0, or 1 with a line that says why."""
    parser = argparse.ArgumentParser(prog="ovenbird-fan", description="Controls the fan.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="tell what the settings mean here, and end")
    what.add_argument("--test", action="store_true", help="run the fan through its speeds")
    what.add_argument("--full", action="store_true", help="set full speed, and end")
    parser.add_argument("settings", nargs="?", type=Path, default=PATH, help=f"({PATH})")
    parser.add_argument("--runtime", type=Path, default=Path("/run"), help=argparse.SUPPRESS)
    parser.add_argument("--system", type=Path, default=Path("/sys"), help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=Path, default=Path("/dev"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    kernel = choose.Places(options.system, options.devices)
    places = Places(options.settings, options.runtime / state.FOLDER, kernel)
    try:
        if options.check:
            return check(places)
        if options.test:
            return test(places)
        if options.full:
            return full(places, keeping.kept(os.environ))
        return Daemon(places, keeping.kept(os.environ)).run()
    except PermissionError as error:
        print(f"ovenbird-fan: {error.filename}: only root may do that", file=sys.stderr)
    except OSError as error:
        print(f"ovenbird-fan: {error}", file=sys.stderr)
    return 1


def check(places: Places) -> int:
    """Tell what the settings mean on this machine; nothing is touched. Returns 1 if something would not work."""
    try:
        settings = load(places.settings)
        found = choose.look(settings, places.kernel)
    except (SettingsError, OutputError) as error:
        print(f"ovenbird-fan: {error}", file=sys.stderr)
        return 1
    print(f"output    {found.kind} {found.name}")
    if found.kind in ("kernel", "chip"):
        print("          which sees to it by itself, so it is only reported")
        return 0
    reading = Sensors(settings.sensors, places.kernel.system).read()
    for name, celsius in reading.each:
        print(f"sensor    {name}: {'cannot be read' if celsius is None else f'{celsius:.1f} °C'}")
    print(f"{settings.mode:<9} {shown(settings)}")
    if reading.trouble:
        print(f"ovenbird-fan: {reading.trouble}, so the fan runs at full speed", file=sys.stderr)
        return 1
    return 0


def shown(settings: Settings) -> str:
    """The law in one line."""
    law = settings.law
    points = ", ".join(f"{point.celsius:g} °C {point.percent} %" for point in law.points)
    return f"{points}; slower only {law.hysteresis:g} °C below, after {law.window:g} s"


def test(places: Places) -> int:
    """Have the daemon run through the speeds, and tell them as they come."""
    process = runs(places.folder)
    if process is None:
        print(f"ovenbird-fan: the daemon does not run; start it with `systemctl start {_UNIT}`", file=sys.stderr)
        return 1
    before = state.read(places.folder)
    if before is None or before.state != "regulating":
        why = "it is only reported here" if before and before.state == "reported" else "the fan is not well"
        told = before.problem if before and before.problem else why
        print(f"ovenbird-fan: nothing to test: {told}", file=sys.stderr)
        return 1
    os.kill(process, signal.SIGUSR1)
    seen: list[int] = []
    updated, silent = before.updated_s, time.monotonic()
    while time.monotonic() - silent < 20:
        time.sleep(0.1)
        now = state.read(places.folder)
        if now is None or now.updated_s == updated:
            continue
        updated, silent = now.updated_s, time.monotonic()
        if now.state == "testing" and now.speed is not None:
            turns = f", {now.rpm} turns a minute" if now.rpm is not None else ""
            print(f"{now.speed:3} %{turns}", flush=True)
            seen.append(now.speed)
        elif seen:
            break
    if len(seen) < len(TESTED):
        print("ovenbird-fan: the test was not finished: it is too hot, or the daemon has ended", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
