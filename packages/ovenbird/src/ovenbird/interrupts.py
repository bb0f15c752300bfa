"""Ctrl-C and its like: how they reach the tool, and how they are held back for a moment.

Python lets an interruption come between any two steps of the main thread, also between the start of a program and the
note that it runs: then nobody would end it. What must not be torn apart is done in `held`. The signal itself is not
blocked, as programs that are started meanwhile would inherit that.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


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


def _let_in() -> None:
    if _Gate.waiting and not _Gate.closed:
        _Gate.waiting = False
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _Gate.closed:
        _Gate.waiting = True
    else:
        raise KeyboardInterrupt
