"""Ctrl-C and its like: how they reach the tool, and how they are held back for a moment.

Python lets an interruption come between any two steps of the main thread, also between the start of a program or a
thread and the note that it runs: then nobody would end it. What must not be torn apart is done in `held`. The signal
itself is not blocked, as programs that are started meanwhile would inherit that.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

_Words = ParamSpec("_Words")
_Value = TypeVar("_Value")


class _Gate:
    """Whether interruptions wait now, and whether one does. Only the main thread uses it, where signals arrive."""

    closed = 0
    waiting = False


def listen() -> None:
    """Let Ctrl-C, the end by a service manager and a closed terminal arrive as KeyboardInterrupt, unless held back.

    All three are the same to us: everything in a context manager is left properly.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # Else we are to outlive the terminal (nohup, a shell's &).
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


@contextmanager
def held() -> Generator[None]:
    """Hold interruptions back: one that comes meanwhile is raised at the context's end. Other threads have none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Gate.closed += 1
    try:
        yield
    finally:
        _Gate.closed -= 1
    _let_in()


@contextmanager
def let_through() -> Generator[None]:
    """Within `held`, the opposite: one that waits is raised now, and one that comes at once."""
    closed, _Gate.closed = _Gate.closed, 0
    try:
        _let_in()
        yield
    finally:
        _Gate.closed = closed


class Pool(ThreadPoolExecutor):
    """A pool of threads that are all waited for at its end, also where that is an interruption.

    The standard library's does not know of a thread that it was interrupted in starting. And Python takes a thread for
    ended when the wait for its end is interrupted: so it is the jobs that are waited for, and then the threads are
    about to end.
    """

    def __init__(self, threads: int, name: str = "") -> None:
        super().__init__(threads, name)
        self._begun: set[Future[Any]] = set()

    def submit(self, fn: Callable[_Words, _Value], /, *args: _Words.args, **kwargs: _Words.kwargs) -> Future[_Value]:
        with held():
            job = super().submit(fn, *args, **kwargs)
            self._begun.add(job)
            job.add_done_callback(self._begun.discard)
        return job

    def end(self) -> None:
        """Wait for the jobs that are being done; those that nobody has begun are not done any more."""
        with held():
            self.shutdown(cancel_futures=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                wait(tuple(self._begun))
            self.end()
        except KeyboardInterrupt:
            self.end()
            raise


def _let_in() -> None:
    if _Gate.waiting and not _Gate.closed:
        _Gate.waiting = False
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _Gate.closed:
        _Gate.waiting = True
    else:
        raise KeyboardInterrupt
