"""The one upload at a time: from a request's body into the steward's pipe, as fast as the slot is written.

The agent holds at most what is in the pipe and in one piece, and no state that matters: the job lives in the steward.
When a connection is cut, or falls silent, the pipe is closed; the steward waits in the middle of its read for another
pipe that goes on at the same byte.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import msgspec

from ...steward import client
from ...steward.protocol import Update as Order
from ...steward.protocol import UpdateResume
from ...update.snapshot import Reason, Update
from .events import Events, tell

SILENCE = 20.0
"""Seconds without a byte after which a connection counts as cut: a network that goes away sends no farewell."""
OVER = ("armed", "failed")
_PIPE = 1 << 20
_POLL = 1.0


class RefusedError(Exception):
    """The upload cannot begin or go on; the message is for people, `reason` for programs."""

    def __init__(self, message: str, reason: str = Reason.BUSY) -> None:
        super().__init__(message)
        self.reason = reason


class Job(msgspec.Struct):
    """One update as the agent follows it. `now` is what the steward said last."""

    now: Update
    events: Events = msgspec.field(default_factory=Events)
    ended: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        """Whether it can still become something."""
        return not self.ended.is_set()


class Upload:
    """The agent's end of one pipe: what one request feeds."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._ready: asyncio.Future[None] | None = None
        self.moved = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether bytes are still wanted."""
        return self._pipe >= 0

    @property
    def silent(self) -> bool:
        """Whether nothing has come for so long that the sender must be gone. One that has to wait for us is not."""
        return self._ready is None and time.monotonic() - self.moved > SILENCE

    async def feed(self, data: bytes) -> bool:
        """Pass bytes on, waiting as long as the steward needs. False once they are not wanted any more."""
        view = memoryview(data)
        while view and self._pipe >= 0:
            try:
                count = os.write(self._pipe, view)
            except BlockingIOError:
                await self._writable()
                continue
            except OSError:  # The steward has closed its end; its verdict is on the way.
                self.close()
                break
            self.moved = time.monotonic()
            view = view[count:]
        return self.open

    def close(self) -> None:
        """No more bytes come through this pipe."""
        if self._pipe < 0:
            return
        if self._ready is not None:
            _settle(self._ready)
        asyncio.get_running_loop().remove_writer(self._pipe)
        os.close(self._pipe)
        self._pipe = -1

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_writer(self._pipe, _settle, self._ready)
        try:
            await self._ready
        finally:
            self._ready = None
            self.moved = time.monotonic()
            if self._pipe >= 0:
                loop.remove_writer(self._pipe)


class Intake:
    """Takes uploads, one at a time, and follows what becomes of them."""

    def __init__(self, steward: Path) -> None:
        self._steward = steward
        self.job: Job | None = None
        self.upload: Upload | None = None
        self.listeners: list[Callable[[Update], None]] = []
        self._asked = False
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self) -> Job | None:
        """The job under way, or the last one; asks the steward once, as an agent that was restarted knows nothing."""
        if not self._asked and self.job is None:
            self._asked = True
            with suppress(client.StewardError):
                found = await client.status(self._steward)
                if found is not None and self.job is None:
                    self.job = Job(found)
                    self._heard(self.job, found)
                    if found.state not in OVER:
                        self._spawn(self._poll(self.job))
        return self.job

    async def begin(self, order: Order) -> tuple[Job, Upload]:
        """Start an upload from its beginning. One that is interrupted is given up for it. Raises RefusedError."""
        async with self._opening:
            job = await self.look()
            if job is not None and job.running:
                if job.now.state == "verifying" or not self._abandoned():
                    raise RefusedError("Another update is under way.")
                with suppress(client.StewardError):
                    await client.abort(self._steward)
                with suppress(TimeoutError):
                    async with asyncio.timeout(10):
                        await job.ended.wait()
            return await self._open(order, None)

    async def resume(self, identity: str, offset: int) -> tuple[Job, Upload]:
        """Go on with an interrupted upload. Raises RefusedError where there is none, or not at that offset."""
        async with self._opening:
            job = await self.look()
            if job is None or not job.running or job.now.id != identity:
                raise RefusedError(
                    "There is no such upload to go on with; send it from its beginning.", Reason.INTERRUPTED
                )
            # Whoever names the job is its sender, who knows better than we that the former connection is gone.
            if self.upload is not None:
                self.upload.close()
            return await self._open(UpdateResume(identity, offset), job)

    def cut(self, job: Job, upload: Upload) -> None:
        """The sender of this upload is gone. What can be continued waits for it; anything else is over."""
        mine = self.upload is upload
        upload.close()
        if mine and job.running and job.now.size is None:
            self._spawn(self._abort())

    async def _abort(self) -> None:
        with suppress(client.StewardError):
            await client.abort(self._steward)

    def _abandoned(self) -> bool:
        """Whether whoever was sending is gone."""
        return self.upload is None or not self.upload.open or self.upload.silent

    async def _open(self, order: Order | UpdateResume, job: Job | None) -> tuple[Job, Upload]:
        """Hand a new pipe to the steward; it takes it, or says why not (RefusedError)."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        with suppress(OSError):  # The default size is slower, nothing else.
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
        upload = Upload(writing)
        begun: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._spawn(self._follow(order, job, reading, begun))
        try:
            taken = await begun
        except BaseException:
            upload.close()
            raise
        self.job, self.upload = taken, upload
        return taken, upload

    async def _follow(
        self, order: Order | UpdateResume, job: Job | None, reading: int, begun: asyncio.Future[Job]
    ) -> None:
        try:
            async for update in client.update(self._steward, order, reading):
                job = job or Job(update)
                if not begun.done():
                    os.close(reading)
                    reading = -1
                    begun.set_result(job)
                self._heard(job, update)
        except client.StewardError as error:
            if not begun.done():
                begun.set_exception(RefusedError(str(error), error.reason or Reason.INTERNAL))
            elif job is not None and job.running:
                await self._poll(job)
        finally:
            if reading >= 0:
                os.close(reading)
            if not begun.done():
                begun.set_exception(RefusedError("The device's steward said nothing.", Reason.INTERNAL))
        if job is not None and job.running:  # The steward ended its account before the end.
            await self._poll(job)

    async def _poll(self, job: Job) -> None:
        """Follow a job that somebody else began, or whose account was cut off."""
        while job.running:
            await asyncio.sleep(_POLL)
            try:
                found = await client.status(self._steward)
            except client.StewardError:
                found = None
            if found is None or found.id != job.now.id:
                found = Update(
                    id=job.now.id,
                    state="failed",
                    reason=Reason.INTERNAL,
                    message="The device's steward ended in the middle of the update.",
                )
            self._heard(job, found)

    def _heard(self, job: Job, update: Update) -> None:
        if not job.running:
            return
        tell(job.events, None if job.now is update else job.now, update)
        job.now = update
        if update.state in OVER:
            job.events.end()
            job.ended.set()
        for listener in self.listeners:
            listener(update)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
