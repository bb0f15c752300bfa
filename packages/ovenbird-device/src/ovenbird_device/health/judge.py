"""The decision over a boot.

A trial: all checks hold together before the deadline, and the slot is committed; else the selector is told first that
the trial is over, then the reason and the log are kept, and the machine restarts. Each step of the way back works
without those after it, and the ones before the restart cannot keep it from happening: they are allowed to fail, and
two timers outside of this process (`ovenbird-deadline.timer`, and the initrd's guard) restart a machine on which it
hangs.

A normal boot: as soon as the essential checks hold, the selector gets its attempts back. The other checks are looked at
until they hold, or for two minutes; then the judge ends. To go on would cost memory, processor time and, as one of them
writes, the life of a card, for ever: what they found is told with its time instead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from ..facts import hardware
from ..format.selector import Slot, State
from ..slots.disk import Disk, SlotsError
from ..slots.files import now
from ..slots.manage import Content
from ..update import record
from . import history, network, report
from .check import Check
from .report import Health, Trial
from .watch import HOLD, Watch

GUARD = Path("/run/ovenbird/guard")
"""The process of the initrd that restarts the machine at the very end of a trial's time."""
FINISHED = 180.0
"""Seconds after which a normal boot that is not up is called unhealthy (it goes on being looked at)."""
LINGER = 120.0
"""Seconds after a normal boot is up in which the checks that do not decide over it may come to hold."""
_AGAIN = 5.0


class SlotsLike(Protocol):
    """What the judge needs of `slots.manage.Slots`."""

    disk: Disk
    folder: Path

    def state(self) -> State: ...
    def commit(self) -> State: ...
    def rollback(self) -> State: ...
    def contents(self) -> dict[Slot, Content]: ...
    def boot_line(self, slot: Slot) -> tuple[bool, str]: ...


class Judge(msgspec.Struct):
    """Judges one boot. The fields after `deadline_s` are where things are; tests put them elsewhere."""

    slots: SlotsLike
    essential: Sequence[Check]
    further: Sequence[Check]
    deadline_s: float
    restart: Callable[[], None]
    hold: float = HOLD
    linger: float = LINGER
    state: Path = report.STATE
    trials: Path = report.TRIALS
    network_note: Path = network.NOTE
    guard: Path = GUARD
    boot_id: Path = Path("/proc/sys/kernel/random/boot_id")
    journal: Callable[[int], bytes] = report.journal
    look_around: Callable[[], Awaitable[network.Network]] = network.look_around
    _said: Health = msgspec.field(default_factory=lambda: Health(state="checking"))

    async def boot(self) -> Health:
        """Judge this boot, to its end. Returns what was published last."""
        running = self.slots.disk.running
        if self.slots.disk.diskless:
            await self._normal(None)
        elif running is None:
            self._say("rescue")
        elif self.slots.disk.trial and await self._on_trial(running):
            await self._trial(running)
        else:
            await self._normal(running)
        self._said = msgspec.structs.replace(self._said, watching=False)
        report.publish(self._said, self.state)
        return self._said

    # --- a trial ---

    async def _on_trial(self, running: Slot) -> bool:
        """Whether it is still to be judged. A selector that cannot be read does not end a trial."""
        try:
            return self.slots.state().active is not running
        except SlotsError as error:
            _print(f"the selector cannot be read: {error}")
            return True

    async def _trial(self, running: Slot) -> None:
        checks = [*self.essential, *self.further]
        watch = Watch(checks, lambda: self._checks(watch), hold=self.hold)
        self._say("checking", deadline_s=self.deadline_s)
        _print(f"slot {running} is on trial: {len(checks)} checks, {self._left():.0f} s left")
        with watch.running():
            healthy = await watch.settled(self.deadline_s, self._decided)
            self._checks(watch)
            if healthy and self._by_hand():
                self._stand_down()
                self._say("waiting", reason="whoever sent the update commits it by hand", deadline_s=None)
                return
            while healthy and not self._decided():
                try:
                    self.slots.commit()
                except SlotsError as error:
                    _print(f"the slot cannot be committed: {error}")
                    if time.monotonic() >= self.deadline_s:
                        self._go_back(watch, f"the slot could not be committed: {error}")
                        return
                    await asyncio.sleep(_AGAIN)
                else:
                    break
            if healthy or self._decided():
                await self._committed(watch)
            else:
                self._go_back(watch, watch.complaint() or "the checks did not all hold for long enough")

    def _left(self) -> float:
        return max(0.0, self.deadline_s - time.monotonic())

    def _by_hand(self) -> bool:
        last = record.last(self.slots.folder)
        return last is not None and last.outcome == "armed" and last.trial_only

    def _decided(self) -> bool:
        """Whether somebody has committed the running slot by hand meanwhile."""
        try:
            return self.slots.state().active is self.slots.disk.running
        except SlotsError:
            return False

    async def _committed(self, watch: Watch) -> None:
        self._stand_down()
        self._say("committed", deadline_s=None)
        _print(f"slot {self.slots.disk.running} is committed after {time.monotonic():.0f} s")
        self._keep("committed", watch, "", with_log=False)
        await self._note_network()

    def _go_back(self, watch: Watch, reason: str) -> None:
        """The order matters: first what decides over the next boot, then what people want to know, then the restart."""
        try:
            self.slots.rollback()
        except SlotsError as error:
            # The selector counts a trial's boots before it boots: they run out all the same.
            _print(f"the trial cannot be ended in the selector: {error}")
        self._say("rolling-back", reason=reason)
        _print(f"the trial failed: {reason}")
        self._keep("rolled-back", watch, reason, with_log=True)
        self.restart()

    def _stand_down(self) -> None:
        """End what would restart the machine at the deadline."""
        with suppress(OSError, subprocess.TimeoutExpired):
            words = ["systemctl", "--no-block", "stop", "ovenbird-deadline.timer"]
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False)
        disarm(self.guard)

    def _keep(self, outcome: str, watch: Watch | None, reason: str, *, with_log: bool, boot: int = 0) -> None:
        """Put the trial on record, and complete the record of the update that led to it."""
        try:
            self._keep_trial(outcome, watch, reason, with_log=with_log, boot=boot)
        except (OSError, SlotsError) as error:
            _print(f"the trial cannot be put on record: {error}")

    def _keep_trial(self, outcome: str, watch: Watch | None, reason: str, *, with_log: bool, boot: int) -> None:
        running = self.slots.disk.running
        assert running is not None
        slot = running.other if outcome == "lost" else running
        known = self.slots.contents().get(slot, Content(""))
        checks = watch.reports() if watch else ()
        digest = self.slots.boot_line(slot)[1] if outcome == "lost" else self.slots.disk.running_hash
        _complete(self.slots.folder, outcome, known.bundle, reason, {one.name: one.detail for one in checks})
        trial = Trial(
            number=0,
            outcome=outcome,
            slot=slot,
            hash=digest,
            version=known.version,
            bundle=known.bundle,
            reason=reason,
            uptime_s=round(time.monotonic(), 1),
            checks=checks,
        )
        report.keep(trial, self.journal(boot) if with_log else b"", self.trials)

    # --- a normal boot ---

    async def _normal(self, running: Slot | None) -> None:
        self._say("checking", deadline_s=None)
        essential = Watch(self.essential, lambda: self._checks(essential, further), hold=self.hold)
        further = Watch(self.further, lambda: self._checks(essential, further), hold=self.hold)
        with essential.running():
            up = await essential.settled(max(FINISHED, self.deadline_s))
            if not up:
                self._say("unhealthy", reason=essential.complaint())
            # The others decide over nothing here, so they do not compete with what is being started.
            with further.running():
                await essential.settled(float("inf"))
                await self._good(running)
                await further.all_hold(time.monotonic() + self.linger)
                self._checks(essential, further)

    async def _good(self, running: Slot | None) -> None:
        """The boot counts as a good one. `running` is None without a disk: there is nothing to count."""
        try:
            if running is None:
                pass
            elif running not in (self.slots.state().active, self.slots.state().trial):
                self._say("visiting")
                return
            else:
                self.slots.commit()
        except SlotsError as error:
            _print(f"the boot cannot be counted as a good one: {error}")
            self._say("unhealthy", reason=str(error))
            return
        if running is not None:
            self._notice_lost(running)
        self._say("good")  # Whoever reads this knows that nothing more is written about the boot before.
        what = f"slot {running}" if running is not None else "the system"
        _print(f"{what} is up after {time.monotonic():.0f} s")
        await self._note_network()

    def _notice_lost(self, running: Slot) -> None:
        """A trial that GRUB gave up, because no boot of it got as far as being judged, is put on record now."""
        other = running.other
        try:
            if other not in self.slots.state().failed:
                return
            digest = self.slots.boot_line(other)[1]
        except SlotsError:
            return
        last = record.last(self.slots.folder)
        armed = last is not None and last.outcome == "armed" and last.slot == other
        seen = any(trial.slot == other and trial.hash == digest for trial in report.trials(self.trials))
        if armed or not seen:
            reason = "none of its boots came far enough to be judged"
            self._keep("lost", None, reason, with_log=True, boot=-1)

    async def _note_network(self) -> None:
        with suppress(OSError):
            network.remember(await self.look_around(), self.network_note)

    # --- telling ---

    def _say(self, state: str, **changes: object) -> None:
        disk = self.slots.disk
        current = self._said
        self._said = Health(
            state=state,
            slot=disk.running or "rescue",
            trial=disk.trial,
            reason=str(changes.get("reason", "")),
            deadline_s=_number(changes.get("deadline_s", current.deadline_s)),
            watching=True,
            checks=current.checks,
        )
        report.publish(self._said, self.state)
        if disk.running is not None and state != current.state:
            self._note(disk.running)

    def _note(self, running: Slot) -> None:
        """Put the verdict down for people."""
        said, known = self._said, self.slots.contents().get(running, Content(""))
        history.note(
            self.slots.folder,
            hardware.text(self.boot_id),
            said.state,
            slot=running,
            version=known.version,
            trial=said.trial,
            reason=said.reason,
        )

    def _checks(self, *watches: Watch) -> None:
        reports = tuple(one for watch in watches for one in watch.reports())
        self._said = msgspec.structs.replace(self._said, checks=reports)
        report.publish(self._said, self.state)


def _complete(folder: Path, outcome: str, bundle: str, reason: str, details: dict[str, str]) -> None:
    """Finish the record of the update; a bundle that failed is not taken again unless forced."""
    if outcome == "committed":
        record.forget_failed(folder, bundle)
    else:
        record.note_failed(folder, bundle)
    last = record.last(folder)
    if last is not None and last.outcome == "armed":
        record.note(
            folder,
            msgspec.structs.replace(
                last,
                outcome="committed" if outcome == "committed" else "rolled-back",
                reason={"committed": "healthy", "rolled-back": "health"}.get(outcome, "lost"),
                message=reason,
                ended=now(),
                details=details,
            ),
        )


def disarm(guard: Path) -> None:
    """End the initrd's guard, if the process is really it."""
    try:
        number = int(guard.read_text("ascii"))
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if b"ovenbird-guard" in command and number > 1:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(number, signal.SIGKILL)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _print(text: str) -> None:
    """To the journal, and to the console of a trial."""
    print(f"ovenbird-health: {text}", flush=True)
