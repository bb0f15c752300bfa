"""How long work is shown: steps with times on a terminal, plain lines elsewhere, nothing where JSON is asked for.

The work itself only knows the `Progress` protocol; what is drawn is decided once, in the command line.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID


class Step(Protocol):
    """One running step."""

    def line(self, text: str) -> None:
        """A line of detail, such as a program's output."""
        ...

    def advance(self, done: int, total: int) -> None:
        """How far the step is, in any unit."""
        ...


class Progress(Protocol):
    """Shows the steps of long work."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """Open a step; leaving the context ends it."""
        ...

    def note(self, text: str) -> None:
        """A line for the user, outside of any step."""
        ...


class _Silent:
    def line(self, text: str) -> None:
        """Nothing is shown."""

    def advance(self, done: int, total: int) -> None:
        """Nothing is shown."""


class QuietProgress:
    """Shows nothing: for `--json`, and for work inside of other work."""

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        yield _Silent()

    def note(self, text: str) -> None:
        """Nothing is shown."""


class _PlainStep:
    def __init__(self, stream: TextIO, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose

    def line(self, text: str) -> None:
        if self._verbose:
            print(f"    {text}", file=self._stream, flush=True)

    def advance(self, done: int, total: int) -> None:
        """A plain stream shows no bar."""


class PlainProgress:
    """Plain lines for a log: one when a step begins, one with its time when it ends."""

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._verbose = verbose

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        begin = time.monotonic()
        print(f"{name} ...", file=self._stream, flush=True)
        yield _PlainStep(self._stream, self._verbose)
        print(f"{name}: {time.monotonic() - begin:.1f} s", file=self._stream, flush=True)

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class _TerminalStep:
    def __init__(self, show: Callable[[str], None], keep: Callable[[str], None] | None) -> None:
        self._show = show
        self._keep = keep

    def line(self, text: str) -> None:
        self._show(text)
        if self._keep:
            self._keep(text)

    def advance(self, done: int, total: int) -> None:
        self._show(f"{done * 100 // total if total else 100} %")


class TerminalProgress:
    """A spinner for each running step, with its time and its last line; a finished step leaves one line."""

    def __init__(self, *, verbose: bool = False) -> None:
        from rich.console import Console  # Imported late: an unchanged build should not pay for it.
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        atexit.register(self._bar.stop)  # Steps in other threads may be left behind, and a terminal without its cursor.
        self._verbose = verbose
        self._running = 0
        self._lock = threading.Lock()

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        begin = time.monotonic()
        task = self._open(name)
        width = max(20, self._console.width - 50)
        try:
            yield _TerminalStep(
                lambda text: self._bar.update(task, last=text[:width]),
                (lambda text: self._bar.console.print(f"    {text}", style="dim", markup=False))
                if self._verbose
                else None,
            )
            took = time.monotonic() - begin
            self._bar.console.print(f"✓ {name}  {took:.1f} s", markup=False)
        finally:
            self._close(task)

    def _open(self, name: str) -> TaskID:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._bar.start()
            return self._bar.add_task(name, last="", total=None)

    def _close(self, task: TaskID) -> None:
        with self._lock:
            self._bar.remove_task(task)
            self._running -= 1
            if self._running == 0:
                self._bar.stop()

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)


def choose(*, quiet: bool = False, verbose: bool = False) -> Progress:
    """The right kind for where standard error goes."""
    if quiet:
        return QuietProgress()
    if sys.stderr.isatty():
        return TerminalProgress(verbose=verbose)
    return PlainProgress(verbose=verbose)
