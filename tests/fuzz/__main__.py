"""Fuzz one target by coverage:  python -m tests.fuzz bundle [CORPUS FOLDER] -max_total_time=600

What follows the target's name are libFuzzer's own options. A finding leaves its input behind as `crash-…`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from typing import Protocol, cast


class Atheris(Protocol):
    """What is used of the package, which has no types."""

    def instrument_imports(self, include: Sequence[str]) -> AbstractContextManager[None]:
        """Watch the branches of what is imported in the context."""
        ...

    def Setup(self, words: Sequence[str], target: Callable[[bytes], None]) -> object:  # noqa: N802 - its name
        """Take the options and the target."""
        ...

    def Fuzz(self) -> None:  # noqa: N802 - its name
        """Go; ends the process."""
        ...


atheris = cast(Atheris, import_module("atheris"))
with atheris.instrument_imports(include=["ovenbird_device.format", "tests.fuzz.targets"]):
    from tests.fuzz.targets import TARGETS, harmless

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup([f"fuzz-{name}", *sys.argv[1:]], partial(harmless, TARGETS[name]))
    atheris.Fuzz()
