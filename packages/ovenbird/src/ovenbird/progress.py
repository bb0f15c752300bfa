"""How long work is shown: steps with times on a terminal, plain lines elsewhere, nothing where JSON is asked for.

The work itself only knows the `Progress` protocol; what is drawn is decided once, in the command line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO


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
    def step(self, name: str) -> Iterator[Step]:
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
    def step(self, name: str) -> Iterator[Step]:
        begin = time.monotonic()
        print(f"{name} ...", file=self._stream, flush=True)
        yield _PlainStep(self._stream, self._verbose)
        print(f"{name}: {time.monotonic() - begin:.1f} s", file=self._stream, flush=True)

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class _TerminalStep:
    def __init__(self, show: _Show, verbose: bool) -> None:
        self._show = show
        self._verbose = verbose

    def line(self, text: str) -> None:
        self._show(text, self._verbose)

    def advance(self, done: int, total: int) -> None:
        self._show(f"{done * 100 // total if total else 100} %", False)


class _Show(Protocol):
    def __call__(self, text: str, keep: bool) -> None: ...


class TerminalProgress:
    """A spinner with the running step, its time and its last line; a finished step leaves one line."""

    def __init__(self, *, verbose: bool = False) -> None:
        from rich.console import Console  # Imported late: an unchanged build should not pay for it.

        self._console = Console(stderr=True, highlight=False)
        self._verbose = verbose

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        from rich.markup import escape
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        begin = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}"),
        )
        with Bar(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(escape(name), last="", total=None)

            def show(text: str, keep: bool) -> None:
                if keep:
                    bar.console.print(f"    {escape(text)}", style="dim")
                bar.update(task, last=f"[dim]{escape(text[: max(20, self._console.width - 50)])}[/dim]")

            yield _TerminalStep(show, self._verbose)
        took = time.monotonic() - begin
        self._console.print(f"[green]✓[/green] {escape(name)} [dim]{took:.1f} s[/dim]")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)


def choose(*, quiet: bool = False, verbose: bool = False) -> Progress:
    """The right kind for where standard error goes."""
    if quiet:
        return QuietProgress()
    if sys.stderr.isatty():
        return TerminalProgress(verbose=verbose)
    return PlainProgress(verbose=verbose)
