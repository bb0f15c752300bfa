"""`ovenbird diff`: what changed between two images. Exit codes as of diff: 0 nothing, 1 something, 2 trouble."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovenbird.cli.tables import change_text, facts, heading, table
from ovenbird.errors import ExitCode, OvenbirdError
from ovenbird.units import size_text

if TYPE_CHECKING:
    from ovenbird.image.reading.compare import Difference, PartChange

DIFFERENT = 1


class TroubleError(OvenbirdError):
    """The images could not be compared; the code tells it from "they differ"."""

    exit_code = ExitCode.USAGE


def diff(
    before: Annotated[Path, typer.Argument(help="An image, or a folder with one.")],
    after: Annotated[Path, typer.Argument(help="Another.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell what changed between two images: packages, files, sizes. Exit code 0: nothing, 1: something, 2: trouble."""
    import msgspec

    from ovenbird.image.reading.compare import compare

    try:
        difference = compare(before, after)
    except OvenbirdError as error:
        raise TroubleError(error.message, hint=error.hint, where=error.where) from error
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(difference), indent=2).decode())
    else:
        _show(difference)
    if not difference.same:
        raise typer.Exit(DIFFERENT)


def _show(difference: Difference) -> None:
    if difference.same:
        print("no difference")
        return
    for part in difference.parts:
        heading(part.name)
        _show_part(part)


def _show_part(part: PartChange) -> None:
    sizes = "" if part.before is None else size_text(part.before)
    if part.after != part.before:
        after = "gone" if part.after is None else size_text(part.after)
        sizes = f"{sizes or 'not there'} -> {after}"
    facts([("content", part.content), ("size", sizes)])
    table(["package", "before", "after"], [(one.name, one.before or "-", one.after or "-") for one in part.packages])
    rows = [(one.path, ", ".join(one.what), change_text(one.before, one.after)) for one in part.files]
    table(["file", "change", ">size"], rows)
    if not part.packages and not part.files and part.before is not None and part.after is not None:
        print("the bytes differ")
