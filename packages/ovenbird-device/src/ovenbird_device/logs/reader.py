"""Reads the journal once: lines before a place, lines after it, or all as text. By journalctl, which the image has.

A journalctl lives as long as one answer takes, and only a few at a time; each answer is bounded, so that a reader who
is slow to take it holds memory of its own and no process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .line import FIELDS, Entry, Line, decode
from .query import Query

_AT_ONCE = 4
_PIECE = 64 * 1024
_LONGEST = 1 << 20
"""Bytes of one entry in JSON; longer ones are passed over."""
_MOST_LOOKED_AT = 50_000
_MOST_WEIGHT = 4 << 20
_PATIENCE = 20.0
SEARCH = 10.0
"""Seconds after which an answer is given with what was found so far: a small device searches slowly."""


class LogsError(Exception):
    """The journal cannot be read; the message is for people."""


class NoBootError(LogsError):
    """The journal has nothing of the boot that was asked for."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Lines, oldest first. `more` says whether there are older ones, and `before` is where they are to be asked for."""

    lines: list[Line]
    more: bool
    before: str = ""


class Journal:
    """The device's journal, or the one in `folder`."""

    def __init__(self, folder: Path | None = None, program: str = "journalctl", search: float = SEARCH) -> None:
        self._search = search
        self._command = [program, "--quiet", "--no-pager", *([] if folder is None else [f"--directory={folder}"])]
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._endings: set[asyncio.Task[None]] = set()

    async def before(self, query: Query, most: int, cursor: str = "") -> Page:
        """The last lines that are wanted, or the last before a cursor. Raises LogsError.

        A search gives up after 50,000 lines or ten seconds; it can be gone on with from `before`.
        """
        found, place = await self.last(query, most, cursor)
        return Page(lines=[entry.line for entry in found], more=bool(place), before=place)

    async def last(self, query: Query, most: int, cursor: str = "") -> tuple[list[Entry], str]:
        """The same as entries, oldest first, and the place behind which there are older ones. Raises LogsError."""
        if most == 0:
            return [], ""
        command = ["--reverse", *query.arguments(), *([f"--cursor={cursor}"] if cursor else [])]
        found: list[Entry] = []
        looked, weight, place = 0, 0, ""
        async with self._turn, self.running(command) as entries:
            end = time.monotonic() + self._search
            async for entry in entries:
                if entry.line.cursor == cursor:
                    continue
                enough = len(found) == most or weight > _MOST_WEIGHT
                if enough or looked == _MOST_LOOKED_AT or (looked and time.monotonic() > end):
                    return found[::-1], place
                looked += 1
                place = entry.line.cursor
                if query.holds(entry):
                    found.append(entry)
                    weight += entry.weight
        return found[::-1], ""

    async def after(self, query: Query, cursor: str, most: int) -> tuple[list[Entry], bool]:
        """The first entries wanted after a cursor (or of all), and whether that is the end. Raises LogsError."""
        command = [*query.arguments(), *([f"--cursor={cursor}"] if cursor else [])]
        found: list[Entry] = []
        weight = 0
        async with self._turn, self.running(command) as entries:
            async for entry in entries:
                if entry.line.cursor == cursor or not query.holds(entry):
                    continue
                found.append(entry)
                weight += entry.weight
                if len(found) == most or weight > _MOST_WEIGHT:
                    return found, False
        return found, True

    async def newest(self, most: int, cursor: str = "") -> list[Entry]:
        """The newest entries of all, newest first; only those after a cursor, if there is one. Raises LogsError."""
        found: list[Entry] = []
        async with self._turn, self.running(["--reverse", f"--lines={most}"]) as entries:
            async for entry in entries:
                if entry.line.cursor == cursor or len(found) == most:
                    break
                found.append(entry)
        return found

    async def text(self, query: Query) -> AsyncGenerator[bytes]:
        """All that is wanted, oldest first, one line a line, with times by the device's clock. Raises LogsError."""
        cursor, over = "", False
        while not over:
            entries, over = await self.after(query, cursor, 2000)
            if entries:
                cursor = entries[-1].line.cursor
                yield b"".join(_plain(entry.line) for entry in entries)

    async def tail(self, query: Query, most: int) -> AsyncGenerator[bytes]:
        """The last lines as text, oldest first, a piece at a time; each piece ends with a line. Raises LogsError."""
        piece = bytearray()
        async with self._turn, self.running([*query.arguments(), f"--lines={most}"]) as entries:
            async for entry in entries:
                if query.holds(entry):
                    piece += _plain(entry.line)
                if len(piece) >= _PIECE:
                    yield bytes(piece)
                    piece.clear()
        yield bytes(piece)

    @asynccontextmanager
    async def running(self, arguments: Sequence[str]) -> AsyncGenerator[AsyncIterator[Entry]]:
        """The entries that a journalctl prints, as it prints them. It is ended with the context. Raises LogsError."""
        command = [*self._command, "--output=json", "--all", f"--output-fields={','.join(FIELDS)}", *arguments]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_PIECE,
            )
        except OSError as error:
            raise LogsError(f"The journal cannot be read: {error.strerror}.") from error
        try:
            yield _entries(process, boot=any(word.startswith("--boot=") for word in arguments))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            # A task of its own: who gives up reading may not have the time to see the process end.
            ending = asyncio.create_task(_end(process))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            await asyncio.shield(ending)


async def _end(process: asyncio.subprocess.Process) -> None:
    await process.communicate()


async def _entries(process: asyncio.subprocess.Process, *, boot: bool) -> AsyncGenerator[Entry]:
    assert process.stdout is not None
    assert process.stderr is not None
    kept = b""
    while piece := await process.stdout.read(_PIECE):
        *whole, kept = (kept + piece).split(b"\n")
        for raw in whole:
            if len(raw) <= _LONGEST and (entry := decode(raw)) is not None:
                yield entry
        if len(kept) > _LONGEST:
            kept = kept[: _LONGEST + 1]  # stays too long to be one, and grows no more
    trouble = (await process.stderr.read(4096)).decode("utf-8", "replace").strip()
    try:
        code = await asyncio.wait_for(process.wait(), _PATIENCE)
    except TimeoutError as error:
        raise LogsError("The journal cannot be read: journalctl does not end.") from error
    if code != 0 and trouble:
        if boot and "specified boot" in trouble:
            raise NoBootError("The journal has nothing of that boot (any more).")
        raise LogsError(f"The journal cannot be read: {trouble.splitlines()[-1][:300]}")


def _plain(line: Line) -> bytes:
    when = datetime.fromtimestamp(min(max(line.time / 1e6, 0), 253e9), UTC)
    who = f"{line.source}[{line.pid}]" if line.pid is not None else line.source
    text = line.text.replace("\n", "\n    ")
    return f"{when:%Y-%m-%dT%H:%M:%S}.{line.time // 1000 % 1000:03d}Z {who}: {text}\n".encode("utf-8", "replace")
