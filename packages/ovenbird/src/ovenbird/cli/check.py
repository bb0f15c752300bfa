"""`ovenbird check`: what is understood of a recipe, or everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ovenbird.errors import RecipeError
from ovenbird.recipe import summary
from ovenbird.recipe.load import load


def check(
    recipe: Annotated[
        Path, typer.Argument(help="The recipe file, or its folder.", show_default="this folder")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, mistakes too.")] = False,
) -> None:
    """Say what a recipe means, or everything that is wrong with it."""
    try:
        loaded = load(recipe)
    except RecipeError as error:
        if not as_json:
            raise
        typer.echo(json.dumps(summary.problem_data(error), indent=2, ensure_ascii=False))
        raise typer.Exit(error.exit_code) from error
    if as_json:
        typer.echo(json.dumps(summary.data(loaded), indent=2, ensure_ascii=False))
        return
    for label, text in summary.lines(loaded):
        typer.echo(f"{label:8} {text}")
