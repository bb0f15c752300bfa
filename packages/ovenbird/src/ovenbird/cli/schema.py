"""`ovenbird schema`: the JSON Schema of a recipe."""

from __future__ import annotations

import json

import typer

from ovenbird.recipe.schema import recipe_schema


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors that complete and check TOML."""
    typer.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
