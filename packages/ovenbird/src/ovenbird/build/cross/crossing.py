"""For which architecture each part of a tree is made, where the board's is not this machine's (docs/cross.md).

A tree for another architecture begins as its twin: base, device and stages for this machine's architecture, at its full
speed. The step `twin` makes the target's tree of it, at the end or before the first part that has to be emulated.
Where the whole build is emulated, there is no twin.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from ovenbird.boards import Architecture, Board
from ovenbird.boards.board import ARCHITECTURES
from ovenbird.errors import HostError
from ovenbird.recipe.load import LoadedRecipe

_ALSO = {"armv8l": "armv7l", "arm64": "aarch64"}  # Other names that `uname -m` has for the same.


def host_architecture(machine: str | None = None) -> Architecture:
    """This machine's architecture. Raises HostError for one that Ovenbird does not know."""
    name = machine or platform.machine()
    for architecture in ARCHITECTURES:
        if architecture.kernel == _ALSO.get(name, name):
            return architecture
    known = ", ".join(architecture.kernel for architecture in ARCHITECTURES)
    raise HostError(f"Ovenbird does not build on {name}", hint=f"build on one of {known}")


@dataclass(frozen=True, slots=True)
class Crossing:
    """How a tree gets from one architecture to another.

    `emulated_from` is the number of the first stage that is emulated: 0 for the first, -1 where base and all are, and
    None where nothing is.
    """

    host: Architecture
    target: Architecture
    emulated_from: int | None = None

    @property
    def twin(self) -> bool:
        """Whether there is a twin at all."""
        return self.host != self.target and self.emulated_from != -1

    @property
    def base(self) -> Architecture:
        """The architecture that base and device are made for."""
        return self.host if self.twin else self.target

    def emulates(self, stage: int) -> bool:
        """Whether a stage (by its number) is emulated; the number after the last one is the tree."""
        return self.host != self.target and self.emulated_from is not None and stage >= self.emulated_from

    def stage(self, stage: int) -> Architecture:
        """The architecture that a stage is made for."""
        return self.target if self.emulates(stage) or not self.twin else self.host


def crossing(loaded: LoadedRecipe, machine: Board, host: Architecture | None = None) -> Crossing:
    """How a recipe's tree is made on this machine. Raises HostError."""
    emulated: Sequence[int] = [number for number, stage in enumerate(loaded.stages) if stage.emulate]
    # Only Debian has the same packages for both: whatever runs in another root runs as the target's.
    whole = loaded.recipe.build.emulate or loaded.recipe.base.distribution != "debian"
    first = -1 if whole else min(emulated, default=None)
    host = host or host_architecture()
    return Crossing(host, machine.cpu, first if host != machine.cpu else None)
