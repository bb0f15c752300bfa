"""What the daemon knows of a fan, however it is driven."""

from __future__ import annotations

from typing import Protocol

from ..law import Point


class OutputError(Exception):
    """A fan that cannot be driven as the settings say: one line for people."""


class Output(Protocol):
    """One fan. What touches the kernel raises OSError."""

    @property
    def kind(self) -> str:
        """`kernel`, `chip`, `hwmon`, `pwm` or `gpio`."""
        ...

    @property
    def name(self) -> str:
        """Which one, for people."""
        ...

    @property
    def controlled(self) -> bool:
        """Whether the speed is ours to set; else somebody else sees to it, and it is only reported."""
        ...

    @property
    def levels(self) -> tuple[Point, ...]:
        """The curve of who sees to it, as far as it tells; empty if the speed is ours to set."""
        ...

    def set(self, percent: int) -> None:
        """Run at a speed. Nothing if it is not ours to set."""
        ...

    def speed(self) -> int | None:
        """The speed that it was told, in percent; None if nobody knows."""
        ...

    def rpm(self) -> int | None:
        """Turns a minute; None where nothing counts them."""
        ...

    def leave(self) -> None:
        """Full speed, as far as it is ours to set, and to stay after this process."""
        ...

    def close(self) -> None:
        """Let go of it, as it is."""
        ...
