"""What a health check is, and how programs are run for one without being at their mercy.

A check is looked at again and again until it holds. A look that takes longer than the check's `timeout_s` is cut off
and counts as a failure, so a check itself need not know about time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

_MOST_OUTPUT = 256 << 10
_PIECE = 64 << 10
_BURIAL = 2.0
"""Seconds to wait for a killed program; one that hangs in the kernel does not go, and is left behind."""


class Look(msgspec.Struct, frozen=True):
    """What one look found. `detail` is one short line for people."""

    ok: bool
    detail: str = ""


class Check(Protocol):
    """Something that must hold. Times in seconds."""

    @property
    def name(self) -> str:
        """What people call it; unique among the checks of a device."""
        ...

    @property
    def kind(self) -> str:
        """Where it comes from: `built-in`, `recipe` or `program`."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long one look may take."""
        ...

    @property
    def every_s(self) -> float:
        """How long after a look that found it holding the next one comes."""
        ...

    async def look(self) -> Look:
        """Look once. May raise anything and take for ever: both count as not holding."""
        ...


class Ended(msgspec.Struct, frozen=True):
    """A program's exit code (negative: the signal that killed it) and the last part of what it printed."""

    code: int
    output: str

    @property
    def last_line(self) -> str:
        """The last line that says something."""
        return next((line.strip()[:200] for line in reversed(self.output.splitlines()) if line.strip()), "")


async def run_program(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end in a session of its own. Cancelled or not, none of its processes outlives the call
    (but for those that made sessions of their own). Raises OSError if it cannot be started.
    """
    # A pipe of our own: asyncio would wait for its pipes to be closed by whatever the program left behind.
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(writing, True)
    output = bytearray()
    loop = asyncio.get_running_loop()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
                env=dict(os.environ, **(environment or {})),
                cwd="/",
            )
        finally:
            os.close(writing)
        loop.add_reader(reading, _read, loop, reading, output)
        try:
            code = await process.wait()
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.returncode is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _BURIAL)
        while _read(loop, reading, output):
            pass
    finally:
        loop.remove_reader(reading)
        os.close(reading)
    return Ended(code, output.decode("utf-8", "replace"))


def _read(loop: asyncio.AbstractEventLoop, number: int, output: bytearray) -> bool:
    """What is there to be read, of which only the last part is kept. False when there is nothing (more)."""
    try:
        part = os.read(number, _PIECE)
    except BlockingIOError:
        return False
    except OSError:
        part = b""
    if not part:
        loop.remove_reader(number)
        return False
    output += part
    del output[:-_MOST_OUTPUT]
    return True
