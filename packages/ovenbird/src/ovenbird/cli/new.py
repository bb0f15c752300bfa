"""`ovenbird new`: a folder with a recipe to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovenbird.recipe.new import new_recipe
from ovenbird.recipe.problems import shown


def new(
    name: Annotated[
        Path, typer.Argument(help="The folder to make; its last part names the image.", show_default=False)
    ],
    schema: Annotated[
        bool, typer.Option("--schema", help="Add the JSON Schema, for editors that complete TOML.")
    ] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="Let its devices take updates signed by your key, made if there is none.")
    ] = False,
) -> None:
    """Make a folder with a recipe that builds as it is."""
    for file in new_recipe(name, schema=schema, keys=keys):
        typer.echo(f"made {shown(file.absolute())}")
    typer.echo(f"\nNext: cd {name} && ovenbird check && ovenbird build && ovenbird run")
