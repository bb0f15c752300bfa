"""What became of several devices, printed: a line each, errors with their hints, and the exit code of all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from ovenbird.deliver.each import Result

DEVICE_HELP = "HOST, HOST:PORT, http://user:password@HOST/, or a name."
_Value = TypeVar("_Value")


def lines(results: Sequence[Result[_Value]], words: Callable[[_Value], str]) -> None:
    """A line for each device that did it."""
    from ovenbird.deliver.logs import harmless

    for result in results:
        if result.value is not None:
            print(f"{result.name}: {harmless(words(result.value))}")


def end(results: Sequence[Result[Any]]) -> None:
    """Print the errors and end with the exit code of all."""
    from ovenbird.deliver.each import exit_code
    from ovenbird.deliver.logs import harmless

    for result in results:
        if result.error is not None:
            print(f"{result.name}: {harmless(result.trouble)}", file=sys.stderr)
            if result.error.hint:
                print(f"  help: {harmless(result.error.hint)}", file=sys.stderr)
    raise typer.Exit(exit_code(result.code for result in results))


def as_json(results: Sequence[Result[Any]]) -> None:
    """All of them for scripts: `target`, its exit `code`, and `value`, `error` or both."""
    import msgspec

    found: list[dict[str, object]] = []
    for result in results:
        one: dict[str, object] = {"target": result.name, "code": int(result.code)}
        if result.value is not None:
            one["value"] = result.value
        if result.error is not None:
            one |= {"error": result.trouble, "hint": result.error.hint or ""}
        found.append(one)
    print(msgspec.json.encode(found).decode())
