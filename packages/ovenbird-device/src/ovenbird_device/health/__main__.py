"""The process: `python3 -m ovenbird_device.health`, once a boot, as root.

`remember` notes what the network can do, before the machine goes down. Without it, the boot is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..format import FormatError, settings
from ..slots import disk as disks
from ..slots.disk import Disk, NoSlotsError, SlotsError
from ..slots.manage import Slots
from . import builtin, network, probes, report
from .check import Check
from .judge import Judge

SETTINGS = Path("/") / settings.PATH
_ORDERLY = 90.0
_FORCED = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the boot. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-health", description="Judges this boot.")
    parser.add_argument("what", nargs="?", choices=("judge", "remember"), default="judge")
    options = parser.parse_args(arguments)
    code = asyncio.run(remember() if options.what == "remember" else judge())
    sys.stdout.flush()
    # Not by way of the interpreter's end: a thread that hangs (a name that does not resolve) must not hold it up.
    os._exit(code)


async def judge() -> int:
    """Judge this boot to its end."""
    try:
        slots = Slots.of_this_device()
    except NoSlotsError:
        slots = Slots(Disk({}, None, disks.read_note(disks.NOTE).hash, diskless=True))
    except SlotsError as error:
        print(f"ovenbird-health: {error}")
        report.publish(report.Health(state="unhealthy", reason=str(error)))
        return 1
    known, problem = load_settings(SETTINGS)
    further: list[Check] = [
        *builtin.further(disks.NOTE, network.recall(), own_server(Path(settings.SERVER)) or known.server),
        *probes.from_recipe(known.checks),
        *probes.from_folder(),
    ]
    if problem:
        further.append(probes.Broken("settings", problem))
    await Judge(slots, builtin.essential(), further, float(known.deadline_s), restart).boot()
    return 0


def load_settings(path: Path) -> tuple[settings.UpdateSettings, str]:
    """The image's settings, and what is wrong with them: then it is a broken image, but it is judged all the same."""
    try:
        return settings.load(path.read_bytes()), ""
    except FileNotFoundError:
        return settings.UpdateSettings(), ""
    except (OSError, FormatError) as error:
        return settings.UpdateSettings(), str(error)


def own_server(path: Path) -> str | None:
    """The update server's address that is this device's own, if it has one."""
    try:
        return path.read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


async def remember() -> int:
    """Note what the network can do now; never during a trial, whose judge compares with what was before it."""
    said = report.state()
    if said is None or said.state not in ("good", "committed"):
        return 0
    with suppress(OSError):
        network.remember(await network.look_around())
    return 0


def restart() -> None:
    """Restart the machine: orderly, then less and less so. Returns only if none of it is possible."""
    for words, patience in (
        (("systemctl", "--no-block", "reboot"), _ORDERLY),
        (("systemctl", "--force", "reboot"), _FORCED),
        (("systemctl", "--force", "--force", "reboot"), _FORCED),
    ):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(words, stdin=subprocess.DEVNULL, timeout=patience, check=False)
        time.sleep(patience)
    with suppress(OSError):
        Path("/proc/sysrq-trigger").write_text("b")


if __name__ == "__main__":
    sys.exit(main())
