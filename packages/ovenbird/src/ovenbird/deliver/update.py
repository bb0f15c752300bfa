"""One update of one device, followed to its end: upload, restart, trial, and commit or rollback.

The network may go at any moment; only the device decides. A cut upload goes on where it was, an answer that was lost is
looked up, and while the device restarts nobody expects one.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird.deliver.access import Ask, with_password
from ovenbird.deliver.away import AWAY, another_boot
from ovenbird.deliver.client import Device, Place
from ovenbird.deliver.link import DeviceError
from ovenbird.deliver.target import Target
from ovenbird.errors import ExitCode, NetworkError, OvenbirdError
from ovenbird.progress import Progress, Step
from ovenbird_device.update.snapshot import Update
from ovenbird_device.web.update.status import UpdateStatus

RETRY = 600.0
"""Seconds that a cut upload is tried again for: as long as the device waits for it."""
UNDECIDED = 120.0
"""Seconds after a return to the old slot in which the device must have said what became of the trial."""
REFUSALS = 30
"""How often a device may say that an upload cannot go on just now."""
_LOOK = 0.5
_FINAL = ("committed", "rolled-back")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks for."""

    allow_downgrade: bool = False
    force: bool = False
    trial_only: bool = False
    wait: bool = True

    def query(self) -> dict[str, bool]:
        """For the device."""
        return {"allow_downgrade": self.allow_downgrade, "force": self.force, "trial_only": self.trial_only}


@dataclass(slots=True)
class Outcome:
    """How it ended. `state`: committed, trial (waits for a commit by hand), armed (nobody waited), rolled-back,
    refused, unreachable.
    """

    target: str
    state: str
    code: ExitCode
    version: str = ""
    before: str = ""
    slot: str = ""
    message: str = ""
    hint: str = ""
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict[str, str])
    phases: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds each phase took: upload (with writing), verify, restart, trial, return."""
    resumed: int = 0
    """How often the upload was cut and went on."""

    def line(self) -> str:
        """One line for people."""
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.phases.items())
        what = {
            "committed": f"version {self.version} is committed in slot {self.slot}",
            "trial": f"version {self.version} is healthy in slot {self.slot} and waits to be committed",
            "armed": f"version {self.version} is written to slot {self.slot}; its trial begins",
            "rolled-back": f"version {self.version} was rolled back: {self.message}",
        }.get(self.state, self.message)
        return f"{self.target}: {what}" + (f" ({times})" if times else "")


def update(target: Target, bundle: Path, wishes: Wishes, progress: Progress, ask: Ask) -> Outcome:
    """Update one device. Never raises for what a device or its network does: the outcome says it. `ask` gets a
    password from the user.
    """
    outcome = Outcome(target.name, "unreachable", ExitCode.NETWORK)
    try:
        target = accepted(target, ask)
        with Device(target) as device:
            _Run(device, bundle, wishes, progress, outcome).run()
    except NetworkError as error:
        outcome.message, outcome.hint = error.message, error.hint or ""
    except DeviceError as error:
        outcome.state, outcome.code, outcome.reason = "refused", ExitCode.FAILED, error.reason
        outcome.message, outcome.hint = error.message.removeprefix(f"{target.name}: "), error.hint or ""
    except OvenbirdError as error:
        outcome.state, outcome.code = "refused", error.exit_code
        outcome.message, outcome.hint = str(error), error.hint or ""
    return outcome


def accepted(target: Target, ask: Ask) -> Target:
    """The target with a password that the device takes; what the user gave is remembered. Raises NetworkError,
    PasswordError.
    """

    def check(target: Target) -> Target:
        with Device(target) as device:
            device.check()
        return target

    return with_password(target, ask, check)


class _Run:
    """The phases of one update."""

    def __init__(self, device: Device, bundle: Path, wishes: Wishes, progress: Progress, outcome: Outcome) -> None:
        self._device = device
        self._bundle = bundle
        self._wishes = wishes
        self._progress = progress
        self._outcome = outcome
        self._name = device.target.name

    def run(self) -> None:
        """All of them, up to what the user wants to wait for."""
        boot = self._device.status().boot_id
        job = self._upload()
        outcome = self._outcome
        outcome.version, outcome.before, outcome.slot = job.version, job.before, job.slot
        if not self._wishes.wait or not job.rebooting:
            outcome.state, outcome.code = "armed", ExitCode.OK
            return
        with self._phase("restart") as step:
            status = self._after(boot, step)
        if status.state == "trial" and status.trial is not None:
            with self._phase("trial") as step:
                status = self._trial(job, status, step)
        if status.boot_id != boot and status.state != "trial":
            status = self._settled(job, status)
        self._conclude(job, status)

    @contextmanager
    def _phase(self, name: str) -> Generator[Step]:
        begin = time.monotonic()
        with self._progress.step(f"{self._name}: {name}") as step:
            yield step
        self._outcome.phases.setdefault(name, time.monotonic() - begin)

    def _upload(self) -> Update:
        """Send the bundle, over as many connections as it takes."""
        place: Place | None = None
        last, begin, refusals, broke = 0.0, time.monotonic(), 0, False
        size = self._bundle.stat().st_size
        with self._phase("upload and write") as step:

            def advance(done: int, total: int) -> None:
                nonlocal last
                step.advance(done, total)
                last = time.monotonic()

            while True:
                try:
                    answer = self._device.upload(self._bundle, self._wishes.query(), advance, place)
                except NetworkError as error:
                    step.line(f"{error.message}; looking where to go on")
                    broke = True
                    found = self._found(size, step)
                    if isinstance(found, Update):
                        return found
                    self._outcome.resumed += found is not None
                    place = found
                    continue
                except DeviceError as error:
                    # The device may not have noticed yet that the former connection is gone, or that it was there.
                    if error.reason not in ("interrupted", "busy") or not broke or refusals >= REFUSALS:
                        raise
                    refusals += 1
                    time.sleep(1.0)
                    found = self._found(size, step)
                    if isinstance(found, Update):
                        return found
                    self._outcome.resumed += found is not None and place is None
                    place = found
                    continue
                if last:
                    self._outcome.phases |= {"upload and write": last - begin, "verify": time.monotonic() - last}
                if answer.job is None:
                    raise DeviceError(f"{self._name} does not say what became of the bundle")
                return answer.job

    def _found(self, size: int, step: Step) -> Place | Update | None:
        """What became of an upload whose connection broke: where it goes on, or how it ended; None: from the start.

        Raises DeviceError for one that was refused, NetworkError if the device stays away.
        """
        end = time.monotonic() + RETRY
        while True:
            try:
                status = self._device.status()
            except NetworkError:
                if time.monotonic() > end:
                    raise
                step.line("the device does not answer; trying again")
                time.sleep(1.0)
                continue
            job = status.job
            if job is None or job.size != size:
                return None
            if job.state == "armed":
                return job
            if job.state == "failed":
                raise DeviceError(f"{self._name}: {job.message}", reason=job.reason)
            if job.received < size:
                return Place(job.id, job.received)
            time.sleep(_LOOK)  # It has all, and verifies.

    def _after(self, boot: str, step: Step) -> UpdateStatus:
        return another_boot(self._device.status, boot, self._name, lambda: step.line("the device is down"))

    def _trial(self, job: Update, status: UpdateStatus, step: Step) -> UpdateStatus:
        """Follow a trial to its end: committed, given up and restarted, or waiting for a person."""
        boot, answered = status.boot_id, time.monotonic()
        said = ""
        while True:
            if status.trial is not None:
                if status.trial.state == "waiting":
                    return status
                text = _checks(status)
                if text != said:
                    step.line(text)
                    said = text
            elif status.state != "trial" and (status.last is None or status.last.outcome != "armed"):
                return status
            if status.boot_id != boot and status.running.slot != job.slot:
                return status
            time.sleep(_LOOK)
            try:
                status = self._device.status()
                answered = time.monotonic()
            except NetworkError:
                if time.monotonic() - answered > AWAY:
                    raise
            except DeviceError as error:
                if error.status != 503:
                    raise

    def _settled(self, job: Update, status: UpdateStatus) -> UpdateStatus:
        """Wait until the device has written down what became of the update."""
        end = time.monotonic() + UNDECIDED
        judged = False
        while not (status.last and status.last.id == job.id and status.last.outcome in _FINAL):
            if judged or time.monotonic() > end or status.state == "trial":
                break
            time.sleep(_LOOK)
            try:
                judged = self._device.has_judged()  # Asked first: what is written down is there when it says so.
                status = self._device.status()
            except NetworkError:
                continue
        return status

    def _conclude(self, job: Update, status: UpdateStatus) -> None:
        outcome, last = self._outcome, status.last
        mine = last if last is not None and last.id == job.id else None
        if status.trial is not None and status.trial.state == "waiting":
            outcome.state, outcome.code = "trial", ExitCode.OK
            outcome.hint = f"ovenbird slots {self._name} commit"
            return
        if mine is not None and mine.outcome == "committed":
            outcome.state, outcome.code = "committed", ExitCode.OK
            return
        if mine is not None and mine.outcome == "rolled-back":
            outcome.state, outcome.code = "rolled-back", ExitCode.FAILED
            outcome.message, outcome.reason, outcome.details = mine.message or mine.reason, mine.reason, mine.details
        elif status.running.slot != job.slot:
            outcome.state, outcome.code = "rolled-back", ExitCode.FAILED
            outcome.message = f"the device is back on slot {status.running.slot}, and does not say why"
        else:
            # The slot runs, but nobody could write down that it was committed: data may be gone.
            outcome.state, outcome.code = "committed", ExitCode.OK
        if status.log:
            outcome.hint = f"the log of the trial: {self._device.target.url}/update/log"


def _checks(status: UpdateStatus) -> str:
    if status.trial is None:
        return ""
    missing = [
        f"{check.name} ({check.detail})" if check.detail else check.name
        for check in status.trial.checks
        if check.state != "ok"
    ]
    held = len(status.trial.checks) - len(missing)
    if status.trial.state == "rolling-back":
        return f"given up: {status.trial.reason}"
    return f"{held} of {len(status.trial.checks)} checks hold" + (
        f"; waiting for {', '.join(missing)}" if missing else ""
    )
