"""Tables for people: drawn on a terminal, plain columns in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ovenbird.units import size_text


def change_text(before: int | None, after: int | None) -> str:
    """How a size changed, such as "+1.5 MiB"; empty if it did not."""
    delta = (after or 0) - (before or 0)
    return f"{'+' if delta > 0 else '-'}{size_text(abs(delta))}" if delta else ""


def heading(text: str) -> None:
    """A line above a table."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape

        Console(highlight=False).print(f"\n[bold]{escape(text)}[/bold]")
    else:
        print(f"\n{text}")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows; a column whose name begins with ">" is set to the right. Nothing is printed without rows."""
    if not rows:
        return
    right = [name.startswith(">") for name in columns]
    names = [name.removeprefix(">") for name in columns]
    if sys.stdout.isatty():
        _drawn(names, right, rows)
        return
    widths = [max(len(row[index]) for row in [names, *rows]) for index in range(len(names))]
    for row in [names, *rows]:
        cells = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _drawn(names: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, to_right in zip(names, right, strict=True):
        drawn.add_column(name, justify="right" if to_right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one a line; those without a value are left out."""
    there = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in there), default=0)
    for name, value in there:
        print(f"{name.ljust(width)}  {value}")
