"""`ovenbird shell`: look around in a built tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shell(
    recipe: Annotated[Path, typer.Argument(help="The recipe, or its folder.")] = Path(),
    before: Annotated[str | None, typer.Option(help="The tree as it was before this stage.")] = None,
    command: Annotated[
        list[str] | None, typer.Option("--command", "-c", help="Run this instead of a shell (repeatable).")
    ] = None,
) -> None:
    """Open a shell in the tree of a recipe, built first where it is not. What is changed there is lost."""
    from ovenbird.build import job
    from ovenbird.progress import choose

    raise typer.Exit(job.shell(job.Request(recipe), choose(), before=before, command=command or []))
