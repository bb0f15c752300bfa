"""The daemon: reads the sensors, asks the law, drives the output, tells the page. One turn each interval.

Whatever goes wrong ends at full speed: a temperature that cannot be read, settings that cannot be used, and the
daemon's own end, by any signal: an orderly one by `end`, any other by the unit's ExecStopPost (`full`). It never ends
by itself because of what it does not find: a driver may be loaded later, and whoever reads the page is told.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from ..notify import notify
from . import state
from .law import FULL, Memory, decide
from .outputs import choose
from .outputs.output import Output, OutputError
from .sensors import Reading, Sensors
from .settings import PATH, Settings, SettingsError, load

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
TESTED = (100, 80, 60, 40, 20, 0)
"""Percent, one after the other."""
TEST_SECONDS = 4.0
LOCK = "lock"


class Places(msgspec.Struct, frozen=True):
    """Where all is; tests have others."""

    settings: Path = PATH
    folder: Path = Path("/run") / state.FOLDER
    kernel: choose.Places = msgspec.field(default_factory=choose.Places)


class Daemon:
    """The fan's keeper."""

    def __init__(self, places: Places, kept: Mapping[str, int]) -> None:
        """`kept`: descriptors that systemd kept."""
        self._places, self._kept = places, dict(kept)
        self._settings, self._stamp = Settings(), (0, 0, 0)
        self._usable = False
        self._complaint = ""
        self._sensors = Sensors((), places.kernel.system)
        self._memory, self._turned = Memory(), state.clock()
        self._output: Output | None = None
        self._said = ""
        self._tests: list[int] = []

    def run(self) -> int:
        """Until told to end. Returns the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        lock = _lock(self._places.folder)
        if lock is None:
            print("ovenbird-fan: another one runs already", file=sys.stderr)
            return 1
        try:
            self.reload()
            ready = False
            while True:
                pause = self.turn()
                notify("WATCHDOG=1" if ready else "READY=1\nWATCHDOG=1")
                ready = True
                got = signal.sigtimedwait(SIGNALS, pause)
                if got is None or got.si_signo == signal.SIGHUP:
                    if got is not None or self._stamp != _stamp(self._places.settings):
                        self.reload()
                elif got.si_signo == signal.SIGUSR1:
                    self.test()
                else:
                    return 0
        finally:
            self.end()
            os.close(lock)

    def reload(self) -> None:
        """Read the settings. Those that cannot be used leave the ones from before in force; without any, the fan runs
        at full speed.
        """
        self._stamp = _stamp(self._places.settings)
        try:
            read = load(self._places.settings)
        except SettingsError as error:
            self._complaint = str(error)
            print(f"ovenbird-fan: {error}", file=sys.stderr, flush=True)
            return
        before, usable = self._settings, self._usable
        self._settings, self._usable, self._complaint = read, True, ""
        self._sensors = Sensors(read.sensors, self._places.kernel.system)
        self._memory = Memory(target=self._memory.target)
        self._said = ""
        if self._output is not None and (not usable or _driving(before) != _driving(read)):
            with suppress(OSError):
                self._output.leave()
            self._drop()
        print(f"ovenbird-fan: {self._places.settings} is in force", flush=True)

    def test(self) -> None:
        """Begin a run through the speeds."""
        if self._output is not None and self._output.controlled and self._usable:
            self._tests = list(TESTED)
            print("ovenbird-fan: testing", flush=True)

    def turn(self) -> float:
        """Read, decide, drive, tell. Returns the seconds until the next turn."""
        reading = self._sensors.read()
        now = state.clock()
        law = self._settings.law
        self._memory, decision = decide(law, self._memory, reading.hottest, max(0.0, now - self._turned))
        self._turned = now
        trouble = reading.trouble
        if self._tests and (trouble or (reading.hottest or 0.0) >= law.points[-1].celsius):
            self._tests = []  # it is too hot for that
        testing = self._tests.pop(0) if self._tests else None
        if testing == 0:
            self._memory = self._memory._replace(target=0)  # the fan stands still now, so it needs a kick to go on
        speed = decision.speed if testing is None else testing
        driven = self._drive(speed if self._usable else FULL)
        reported = self._output is not None and not self._output.controlled
        # Who else sees to it has sensors of its own.
        self._tell(reading, driven or ("" if reported else trouble), testing is not None)
        if testing is not None:
            return TEST_SECONDS
        return min(self._settings.interval, decision.again)

    def end(self) -> None:
        """Full speed, and say so."""
        if self._output is not None:
            with suppress(OSError):
                self._output.leave()
        _stopped(self._places.folder)

    def _drive(self, speed: int) -> str:
        """Set the speed. Returns what hindered it."""
        try:
            if self._output is None:
                self._output = choose.look(self._settings, self._places.kernel).open(self._kept)
                self._kept = {}
                print(f"ovenbird-fan: {self._output.kind} {self._output.name}", flush=True)
            self._output.set(speed)
        except OutputError as error:
            return str(error)
        except OSError as error:
            name = self._output.name if self._output else "the output"
            self._drop()
            return f"{name} cannot be driven: {error.strerror or error}"
        return ""

    def _drop(self) -> None:
        if self._output is not None:
            self._output.close()
        self._output = None

    def _tell(self, reading: Reading, trouble: str, testing: bool) -> None:
        """Publish how it is, and print what is wrong, once."""
        facts = self._facts(reading, trouble, testing)
        with suppress(OSError):
            state.publish(self._places.folder, facts)
        if facts.problem != self._said:
            self._said = facts.problem
            if trouble:
                print(f"ovenbird-fan: {trouble}", file=sys.stderr, flush=True)
            elif not facts.problem:
                print("ovenbird-fan: all is well again", flush=True)

    def _facts(self, reading: Reading, trouble: str, testing: bool) -> state.FanFacts:
        output, law, level = self._output, self._settings.law, self._memory.level
        ours = output is None or output.controlled
        points = law.points if output is None or output.controlled else output.levels
        if trouble or not self._usable:
            how: state.FanState = "failsafe"
        else:
            how = "testing" if testing else "regulating" if ours else "reported"
        return state.FanFacts(
            state=how,
            kind=output.kind if output else "",
            output=output.name if output else "",
            speed=output.speed() if output else None,
            rpm=output.rpm() if output else None,
            celsius=max((value for _, value in reading.each if value is not None), default=None),
            level=level if ours and level is not None and math.isfinite(level) else None,
            sensors=[state.FanSensor(name=name, celsius=value) for name, value in reading.each],
            curve=[(point.celsius, point.percent) for point in points],
            steps=law.steps if ours else True,
            problem=". ".join(filter(None, (self._complaint, trouble))),
            interval_s=max(self._settings.interval, TEST_SECONDS if testing else 0.0),
            updated_s=self._turned,
        )


def full(places: Places, kept: Mapping[str, int]) -> int:
    """Full speed, once, whatever was before: what the unit does after the daemon's end. Returns the exit code."""
    try:
        settings = load(places.settings)
    except SettingsError:
        settings = Settings()
    code = 0
    try:
        choose.look(settings, places.kernel).open(kept).leave()
    except (OSError, OutputError) as error:
        print(f"ovenbird-fan: full speed could not be set: {error}", file=sys.stderr)
        code = 1
    _stopped(places.folder)
    return code


def runs(folder: Path) -> int | None:
    """The number of the daemon's process; None if none runs."""
    with suppress(OSError), (folder / LOCK).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read(20).strip()
            return int(text) if text.isdigit() else None
    return None


def _stopped(folder: Path) -> None:
    """Tell the page that nobody regulates any more."""
    facts = state.read(folder)
    if facts is not None and facts.state != "stopped":
        controlled = facts.kind not in ("kernel", "chip")
        with suppress(OSError):
            state.publish(
                folder, msgspec.structs.replace(facts, state="stopped", speed=FULL if controlled else None, rpm=None)
            )


def _lock(folder: Path) -> int | None:
    """The descriptor that says that a daemon runs; None if another one has it. Raises OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _driving(settings: Settings) -> tuple[object, ...]:
    """What of the settings makes it another output."""
    one = settings
    return one.output, one.hwmon, one.pwm, one.gpio, one.inverted, one.frequency


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file does."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0, 0
    return about.st_mtime_ns, about.st_size, about.st_ino
