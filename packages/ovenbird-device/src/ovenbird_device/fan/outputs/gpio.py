"""A fan that a GPIO line switches: on and off, or by a slow PWM that a thread makes.

The line's descriptor lies with systemd, too, so that neither an end nor a restart of this process lets go of it: the
kernel would make it an input, and the fan would stand still (see `keeping`).
"""

from __future__ import annotations

import threading
from typing import Protocol

from ..law import Point

FREQUENCY = 50
"""Hz."""


class Switch(Protocol):
    """What is switched. Raises OSError."""

    def set(self, on: bool) -> None:
        """Switch it."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Gpio:
    """One such line. It is on when it is given."""

    kind = "gpio"
    controlled = True
    levels: tuple[Point, ...] = ()

    def __init__(self, line: Switch, name: str, frequency: int) -> None:
        """With a `frequency` of 0, every speed but zero is on."""
        self.name = name
        self._line, self._frequency = line, frequency
        self._percent = 100
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: OSError | None = None

    def set(self, percent: int) -> None:
        """Run at a speed. Raises OSError, also for what went wrong since the last time."""
        percent = 100 if percent and not self._frequency else percent
        if self._trouble:
            self._stop()
            trouble, self._trouble = self._trouble, None
            raise trouble
        if 0 < percent < 100:
            self._percent = percent
            if self._thread is None:
                self._changed.clear()
                self._thread = threading.Thread(target=self._pulse, name="fan", daemon=True)
                self._thread.start()
            return
        self._stop()
        self._percent = percent
        self._line.set(percent > 0)

    def speed(self) -> int | None:
        """What it was told."""
        return self._percent

    def rpm(self) -> int | None:
        """Nothing counts them."""
        return None

    def leave(self) -> None:
        """On, and to stay so. Raises OSError."""
        self._trouble = None
        self.set(100)

    def close(self) -> None:
        """Let go of it."""
        self._stop()
        self._line.close()

    def _stop(self) -> None:
        if self._thread is not None:
            self._changed.set()
            self._thread.join()
            self._thread = None

    def _pulse(self) -> None:
        """On and off, until told to end. Ends on, so that whoever ends it badly leaves the fan running."""
        period = 1 / self._frequency
        try:
            while not self._changed.is_set():
                on = period * self._percent / 100
                self._line.set(True)
                if self._changed.wait(on):
                    return
                self._line.set(False)
                self._changed.wait(period - on)
            self._line.set(True)
        except OSError as error:
            self._trouble = error
