"""What health tells: the state of this boot for page and JSON, and the record of each trial on data.

Nothing is decided by what is written here, and nothing stops because it cannot be written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ..slots import files

STATE = Path("/run/ovenbird/health.json")
TRIALS = files.FOLDER / "trials"
KEPT = 5
"""Trials whose records are kept."""
MOST_LOG = 256 << 10
"""Bytes of the end of a failed trial's log that are kept."""
_LOG = "journal.txt"
_LOG_LINES = 4000
_LOG_PATIENCE = 30.0


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """A check. `state`: waiting (no look has ended yet), ok, failing. `kind`: built-in, recipe, program."""

    name: str
    kind: str = ""
    state: str = "waiting"
    detail: str = ""
    looks: int = 0
    at_s: float | None = None
    """When the last look ended, in seconds since the kernel started. None if none has."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """This boot. `state`:

    - `checking`: a trial, or a normal boot, is being judged;
    - `good`: the committed system is up;
    - `committed`: the trial succeeded, or somebody committed it by hand;
    - `waiting`: all checks of a trial hold, but whoever sent it wants to commit by hand;
    - `rolling-back`: the trial failed, the machine restarts into the old slot;
    - `unhealthy`: the committed system is not up as it should be;
    - `visiting`: somebody chose this slot in the boot menu, nothing is judged;
    - `rescue`.
    """

    state: str
    slot: str = ""
    trial: bool = False
    reason: str = ""
    deadline_s: float | None = None
    """When a trial is given up, in seconds since the kernel started."""
    updated_s: float = 0.0
    """When this was written, in the same seconds."""
    watching: bool = False
    """Whether the checks are still looked at. Once a boot is judged they are not: `at_s` says of when they are then."""
    checks: tuple[CheckReport, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How a trial ended. `outcome`: committed, rolled-back, or lost (it never got as far as being judged)."""

    number: int
    outcome: str
    slot: str
    hash: str = ""
    version: str = ""
    bundle: str = ""
    reason: str = ""
    uptime_s: float = 0.0
    time: int = 0
    """Seconds since 1970 by the device's clock, which may be wrong."""
    checks: tuple[CheckReport, ...] = ()
    log: str = ""
    """Name of the file with the end of the trial's log, beside this one; empty if there is none."""


def publish(health: Health, path: Path = STATE) -> None:
    """Make a boot's state known to the agent."""
    text = msgspec.json.encode(msgspec.structs.replace(health, updated_s=round(time.monotonic(), 1)))
    aside = path.with_name(f".{path.name}.new")
    with suppress(OSError):
        aside.write_bytes(text + b"\n")
        aside.chmod(0o644)
        aside.replace(path)


def state(path: Path = STATE) -> Health | None:
    """What was published last; None before anything was."""
    return files.load(path, Health)


def trials(folder: Path = TRIALS) -> list[Trial]:
    """The trials that are on record, oldest first."""
    try:
        numbers = _numbers(folder)
    except OSError:
        return []
    found = (files.load(_place(folder, number) / "trial.json", Trial) for number in numbers)
    return sorted((trial for trial in found if trial is not None), key=lambda trial: trial.number)


def log_path(folder: Path, number: int) -> Path:
    """Where the log lies that a trial left."""
    return _place(folder, number) / _LOG


def keep(trial: Trial, log: bytes = b"", folder: Path = TRIALS) -> None:
    """Put a trial on record under the next number, with its log. Raises OSError."""
    folder.mkdir(mode=0o750, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, 0, folder.parent.stat().st_gid)
    numbers = _numbers(folder)
    for old in numbers[: max(0, len(numbers) + 1 - KEPT)]:
        shutil.rmtree(_place(folder, old), ignore_errors=True)
    number = numbers[-1] + 1 if numbers else 1
    place = _place(folder, number)
    place.mkdir(mode=0o750)
    if os.geteuid() == 0:
        os.chown(place, 0, folder.stat().st_gid)
    kept = msgspec.structs.replace(trial, number=number, time=trial.time or int(time.time()))
    files.save(place / "trial.json", kept)
    if log:
        _save_log(place / _LOG, log)
        files.save(place / "trial.json", msgspec.structs.replace(kept, log=_LOG))


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit())


def _place(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}"


def _save_log(path: Path, log: bytes) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        if os.geteuid() == 0:
            os.fchown(number, 0, path.parent.stat().st_gid)
        view = memoryview(log[-MOST_LOG:])
        while view:
            view = view[os.write(number, view) :]
        os.fsync(number)
    finally:
        os.close(number)


def journal(boot: int = 0) -> bytes:
    """The end of the log of this boot, or (-1) of the one before; empty if it cannot be had."""
    words = ["journalctl", "--no-pager", "--output=short-monotonic", f"--boot={boot}", f"--lines={_LOG_LINES}"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LOG_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout[-MOST_LOG:] if done.returncode == 0 else b""
