"""Waiting for a device that restarts: it is back with the first answer of another boot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ovenbird.deliver.link import DeviceError
from ovenbird.errors import NetworkError

AWAY = 900.0
"""Seconds that a device may be away: three tries of a trial that never comes up, on a slow machine."""
LOOK = 0.5
"""Seconds between two questions."""
_NOT_YET = 503  # its agent is up before its data is


class Booted(Protocol):
    """An answer that tells which boot it is of."""

    @property
    def boot_id(self) -> str:
        """Changes with every boot."""
        ...


_Answer = TypeVar("_Answer", bound=Booted)


def another_boot(
    ask: Callable[[], _Answer], boot: str, name: str, on_down: Callable[[], None], patience: float = AWAY
) -> _Answer:
    """The first answer of another boot than `boot`; `on_down` is told once that none comes.

    Raises NetworkError if the device stays away for `patience` seconds, DeviceError if it says no.
    """
    begin = time.monotonic()
    told = False
    while True:
        late = time.monotonic() - begin > patience
        try:
            answer = ask()
        except NetworkError as error:
            if late:
                raise NetworkError(
                    f"{name} has not come back for {patience / 60:.0f} minutes",
                    hint="it decides by itself; look at its console, or ask later: ovenbird slots",
                ) from error
            if not told:
                on_down()
            told = True
        except DeviceError as error:
            if error.status != _NOT_YET or late:
                raise
        else:
            if answer.boot_id != boot:
                return answer
            if late:
                raise NetworkError(f"{name} has not restarted for {patience / 60:.0f} minutes")
        time.sleep(LOOK)
