"""`ovenbird build`: a recipe becomes an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    recipe: Annotated[Path, typer.Argument(help="The recipe, or its folder.")] = Path(),
    out: Annotated[Path | None, typer.Option(help="Where the image goes (default: `out` beside the recipe).")] = None,
    explain: Annotated[bool, typer.Option(help="Say what would be made and why, and make nothing.")] = False,
    refresh: Annotated[bool, typer.Option(help="Fetch the newest package lists first.")] = False,
    bundle: Annotated[bool, typer.Option("--bundle", help="Fail if no signed bundle can be written.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the steps print.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build an image. What is not changed is not built again."""
    from ovenbird.build import job
    from ovenbird.progress import choose

    progress = choose(quiet=as_json, verbose=verbose)
    request = job.Request(recipe, out, refresh=refresh, bundle=bundle)
    if explain:
        for line in job.explain_lines(request, progress, as_json=as_json):
            print(line)
        return
    result = job.build(request, progress)
    print(result.to_json() if as_json else result.summary())
