"""The one update that may be under way: started, followed, continued, aborted; each by whoever asks the steward.

The work is done in a thread of the steward, so that it answers other questions meanwhile and goes on when the agent
does not. Progress is published as events to whoever listens and as a snapshot to whoever asks later.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator

import msgspec

from ..slots.disk import SlotsError
from ..slots.files import now
from ..slots.manage import Slots
from . import record
from .feed import PATIENCE, Feed
from .installer import Accepted, Armed, Event, Installer, Progress, Terms
from .policy import Wishes
from .snapshot import Reason, Update, UpdateError

_MOST_EVENTS = 256


class Order(msgspec.Struct, frozen=True):
    """What the sender asked for."""

    size: int | None = None
    allow_downgrade: bool = False
    force: bool = False
    trial_only: bool = False
    reboot: bool = True


class Job:
    """One update in its thread."""

    def __init__(
        self,
        number: int,
        order: Order,
        slots: Slots,
        terms: Terms,
        reboot: Callable[[], None],
        patience: float,
        ended: Callable[[Update], None],
    ) -> None:
        self.id = os.urandom(8).hex()
        self._order = order
        self._slots = slots
        self._terms = terms
        self._reboot = reboot
        self._ended = ended
        self._listeners: list[queue.Queue[Update]] = []
        self._lock = threading.Lock()
        self._now = Update(id=self.id, state="receiving", size=order.size)
        self.feed = Feed(number, order.size, patience=patience, told=self._tell)
        self.thread = threading.Thread(target=self._run, name="update")

    @property
    def running(self) -> bool:
        """Whether it is under way, be it paused."""
        return self._now.state not in ("armed", "failed")

    def snapshot(self) -> Update:
        """How it is now."""
        found, paused = self._now, self.feed.paused
        state = "paused" if paused is not None and self.running else found.state
        return msgspec.structs.replace(
            found,
            state=state,
            received=self.feed.position,
            paused_s=None if paused is None or not self.running else round(paused, 1),
        )

    def follow(self, every: float = 5.0) -> Iterator[Update]:
        """Snapshots as things happen, and at least every so many seconds, up to the last one."""
        listener: queue.Queue[Update] = queue.Queue(_MOST_EVENTS)
        with self._lock:
            self._listeners.append(listener)
            listener.put(self.snapshot())
        try:
            while True:
                try:
                    update = listener.get(timeout=every)
                except queue.Empty:
                    update = self.snapshot()
                yield update
                if update.state in ("armed", "failed"):
                    return
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def _tell(self, **changes: object) -> None:
        with self._lock:
            self._now = msgspec.structs.replace(self._now, **changes)
            update = self.snapshot()
            for listener in self._listeners:
                if listener.full() and self.running:
                    continue  # a listener that sleeps loses steps in between, never the end
                if listener.full():
                    listener.get_nowait()
                listener.put_nowait(update)

    def _hear(self, event: Event) -> None:
        match event:
            case Accepted():
                self._tell(slot=event.slot, version=event.version, before=event.before)
            case Progress():
                self.feed.check()
                state = "verifying" if event.phase == "verify" else "receiving"
                self._tell(state=state, part=event.part, done=event.done, total=event.total)
            case Armed():
                pass  # told at the very end, when the record is kept

    def _run(self) -> None:
        order, started = self._order, now()
        wishes = Wishes(order.allow_downgrade, order.force)
        outcome: dict[str, object]
        bundle = ""
        try:
            installed = Installer(self._slots, self._terms, self._hear).install(self.feed, wishes)
            outcome = {"state": "armed", "slot": installed.slot, "version": installed.version}
            bundle = installed.bundle
        except UpdateError as error:
            outcome = {"state": "failed", "reason": error.reason, "message": str(error), "touched": error.touched}
        except Exception as error:  # whatever it is, the sender must hear of it and the steward must go on
            print(f"ovenbird-steward: the update broke: {error!r}", file=sys.stderr)
            outcome = {"state": "failed", "reason": Reason.INTERNAL, "message": f"The update broke: {error}."}
        final = msgspec.structs.replace(self._now, **outcome)
        record.note(
            self._slots.folder,
            record.Last(
                id=self.id,
                outcome=final.state,
                slot=final.slot,
                version=final.version,
                before=final.before,
                bundle=bundle,
                reason=final.reason,
                message=final.message,
                started=started,
                ended=now(),
                trial_only=order.trial_only,
            ),
        )
        armed = final.state == "armed"
        print(f"ovenbird-steward: update {self.id}: {final.message or 'armed'}", file=sys.stderr)
        self._ended(final)
        self._tell(**outcome, rebooting=armed and order.reboot)
        self.feed.close()
        if armed and order.reboot:
            self._reboot()


class Updates:
    """At most one job at a time; the last one stays to be asked about."""

    def __init__(
        self,
        slots: Callable[[], Slots],
        terms: Callable[[], Terms],
        reboot: Callable[[], None],
        patience: float = PATIENCE,
    ) -> None:
        """`slots` and `terms` are read anew for each update; `reboot` is called when a trial is armed."""
        self._slots = slots
        self._terms = terms
        self._reboot = reboot
        self._patience = patience
        self._lock = threading.Lock()
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        """Whether an update is under way, be it paused."""
        job = self._job
        return job is not None and job.thread.is_alive()

    def start(self, number: int, order: Order, ended: Callable[[Update], None]) -> Job:
        """Begin an update from a pipe, which is taken over. UpdateError if there cannot be one now."""
        with self._lock:
            try:
                if self._job is not None and self._job.running:  # One that has told its end may go on ending.
                    raise UpdateError(Reason.BUSY, "Another update is under way.")
                try:
                    job = Job(number, order, self._slots(), self._terms(), self._reboot, self._patience, ended)
                except (SlotsError, OSError, ValueError) as error:
                    raise UpdateError(Reason.SLOTS, f"This device cannot be updated: {error}.") from error
            except UpdateError:
                os.close(number)
                raise
            self._job = job
            job.thread.start()
            return job

    def resume(self, identifier: str, number: int, offset: int) -> Job:
        """Go on with an interrupted upload. UpdateError if that is not possible; the pipe is taken over in any case."""
        job = self._job
        if job is None or job.id != identifier or not job.running:
            os.close(number)
            raise UpdateError(Reason.INTERRUPTED, "There is no such upload to go on with; send it from the start.")
        try:
            job.feed.resume(number, offset)
        except ValueError as error:
            raise UpdateError(Reason.INTERRUPTED, f"Not possible: {error}.") from error
        return job

    def abort(self) -> None:
        """End the update that is under way. UpdateError if there is none."""
        job = self._job
        if job is None or not job.running:
            raise UpdateError(Reason.INTERRUPTED, "No update is under way.")
        job.feed.abort("The update was aborted.")

    def snapshot(self) -> Update | None:
        """The update under way, or the last one since the steward started."""
        job = self._job
        return None if job is None else job.snapshot()
