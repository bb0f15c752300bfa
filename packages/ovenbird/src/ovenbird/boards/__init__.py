"""The boards that Ovenbird knows. A board is a module of this folder with a value `BOARD`, so a new one is one file."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from ovenbird.boards.board import Architecture, Board, Firmware, VirtualMachine
from ovenbird.errors import RecipeError

__all__ = ["Architecture", "Board", "Firmware", "VirtualMachine", "board", "names"]


def names() -> list[str]:
    """The names of all boards, sorted; a dash in a name is an underscore in its module's."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name != "board")


def board(name: str) -> Board:
    """The board of this name. Raises RecipeError where there is none."""
    if name not in names():
        raise RecipeError(f'there is no board "{name}"', hint=f"boards: {', '.join(names())}")
    found = import_module(f"{__name__}.{name.replace('-', '_')}").BOARD
    if not isinstance(found, Board):
        raise TypeError(f"the module of the board {name} has no Board named BOARD")
    return found
