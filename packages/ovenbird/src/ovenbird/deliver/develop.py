"""`ovenbird dev`: an app's program from this machine runs on a device in place of its packed one, while we live.

Four things go on side by side, and what they have to say meets in one queue: somebody holds the session (an open
connection; where it breaks, it is made again), somebody follows the app's log, somebody looks whether a file was saved,
and makes and sends the program. An error of any kind is told and waited out; only Ctrl-C, or a device that says no to
the very first program, ends it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from ovenbird.build.apps.workbench import Packed, Stamp, Workbench
from ovenbird.deliver import events, logs
from ovenbird.deliver.console import Console
from ovenbird.deliver.link import CONNECT, DeviceError
from ovenbird.deliver.logs import Wanted
from ovenbird.deliver.target import Target
from ovenbird.errors import NetworkError, OvenbirdError
from ovenbird_device.logs.line import Line

PATH = "/dev"
LOOK = 0.2
"""Seconds between two looks at the files."""
PAUSE = 1.0
_VERDICT = 330.0
_START = 20.0
_ROUNDED = 0.2
_CHUNK = 1 << 18


class Taken(msgspec.Struct, frozen=True):
    """What the device says to a program."""

    app: str
    entries: int
    size: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell: a `line` of the log, or an event. `seconds` since the save that led to it."""

    event: str
    """`line`, `sent`, `error`, `connection` or `over`."""
    text: str = ""
    hint: str = ""
    seconds: float | None = None
    line: Line | None = None
    error: OvenbirdError | None = None

    def json(self, target: Target) -> str:
        """For scripts."""
        found: dict[str, object] = {"target": target.name, "event": self.event}
        if self.line is not None:
            return msgspec.json.encode(found | {"line": self.line}).decode()
        found |= {name: value for name in ("text", "hint", "seconds") if (value := getattr(self, name))}
        return msgspec.json.encode(found).decode()


@dataclass(slots=True)
class Session:
    """One app on one device."""

    target: Target
    bench: Workbench
    _news: queue.Queue[Note] = field(default_factory=lambda: queue.Queue(1000))
    _over: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _seen: Stamp = ()
    _sent: str = ""
    _before: Line | None = None
    """The last line in the app's log before the first program: what that one says at its start is to be shown."""

    @property
    def name(self) -> str:
        """The app's."""
        return self.bench.app.name

    def send(self, *, again: bool = True) -> Note | None:
        """Make the program and run it there; not `again` the very one that does. Raises OvenbirdError."""
        with self._turn:
            begin = time.monotonic()
            self._seen = self.bench.stamp()
            packed = self.bench.make()
            if packed.digest == self._sent and not again:
                return None
            made = time.monotonic() - begin
            with Console(self.target) as console:
                if not self._sent:
                    self._before = next(iter(logs.last(console, Wanted(self.name, lines=1))), None)
                sending = time.monotonic()
                taken = self._upload(console, packed)
                self._sent = packed.digest
                state = self._state(console, sending)
            took = time.monotonic() - begin
            text = (
                f"{state} after {took:.1f} s (made in {made:.1f} s, {taken.entries} files, {taken.size / 1e6:.1f} MB)"
            )
            return Note("sent", text, seconds=round(took, 2))

    def run(self, *, watch: bool) -> Iterator[Note]:
        """What is to be told, for ever."""
        for work in (self._hold, self._follow, *([self._watch] if watch else [])):
            threading.Thread(target=self._guarded, args=(work,), daemon=True).start()
        while True:
            note = self._news.get()
            yield note
            if note.error is not None:
                raise note.error

    def end(self) -> None:
        """Put the packed program back. Raises OvenbirdError."""
        self._over.set()
        with Console(self.target) as console:
            console.send("DELETE", PATH, {"app": self.name})

    def _upload(self, console: Console, packed: Packed) -> Taken:
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(packed.archive.stat().st_size)}
        timeout = httpx.Timeout(_VERDICT, connect=CONNECT)
        answer = console.send("POST", PATH, {"app": self.name}, headers, _pieces(packed.archive), timeout)
        return console.value(answer, Taken)

    def _state(self, console: Console, sending: float) -> str:
        """What has become of the program: running (and not the former one still), or what else systemd says."""
        while True:
            found, passed = console.service(self.name), time.monotonic() - sending
            former = found.since_s is not None and found.since_s > passed + _ROUNDED
            if (found.state not in ("starting", "stopping") and not former) or passed > _START:
                return found.state
            time.sleep(LOOK)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OvenbirdError as error:
            if not self._over.is_set():
                self._news.put(Note("over", str(error), error=error))

    def _watch(self) -> None:
        """Make and send at each save; a save is over when nothing changes any more between two looks."""
        while not self._over.wait(LOOK):
            now = self.bench.stamp()
            if now == self._seen:
                continue
            while not self._over.wait(LOOK / 2) and (later := self.bench.stamp()) != now:
                now = later
            self._again(again=False)

    def _again(self, *, again: bool) -> None:
        try:
            note = self.send(again=again)
            if note is not None:
                self._news.put(note)
        except OvenbirdError as error:
            self._news.put(Note("error", str(error), error.hint or ""))

    def _hold(self) -> None:
        """Keep a connection open that tells the device that we are there."""
        broken = False
        while not self._over.is_set():
            trouble = "the device ended the connection"
            try:
                with Console(self.target) as console, self._held(console) as said:
                    if broken:
                        self._news.put(Note("connection", "connected again"))
                        broken = False
                    for event in said:
                        if event.kind == "over":
                            trouble = event.data
            except NetworkError as error:
                trouble = error.message
            except DeviceError as error:
                if error.status != 404:
                    raise
                self._news.put(Note("connection", f"{error.message} Sending the program again."))
                self._again(again=True)
            if self._over.wait(PAUSE):
                return
            if not broken:
                self._news.put(Note("connection", f"{trouble}; trying again"))
            broken = True

    @contextmanager
    def _held(self, console: Console) -> Generator[Iterator[events.Event]]:
        headers = {"Accept": "text/event-stream"}
        with console.stream(PATH, {"app": self.name}, headers) as pieces:
            yield events.read(pieces)

    def _follow(self) -> None:
        with Console(self.target) as console:
            wanted = Wanted(self.name, lines=0 if self._before else logs.PAGE)
            after = self._before.cursor if self._before else ""
            for line in logs.follow(console, wanted, lambda text: None, after=after):
                self._news.put(Note("line", line=line))


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while data := stream.read(_CHUNK):
            yield data


def ended(session: Session) -> str:
    """End a session, and say what became of it."""
    with suppress(OvenbirdError):
        session.end()
        return "the packed program runs again"
    return "the device was not reached; it puts the packed program back by itself within a minute"
