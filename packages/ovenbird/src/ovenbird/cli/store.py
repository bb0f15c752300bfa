"""`ovenbird store`: what past builds have left, how large it is, and how to make it smaller."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(help="The store of kept steps.", add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_steps(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the kept steps, the longest unused first."""
    from datetime import UTC, datetime

    from ovenbird.build.store import Store, cache_folder
    from ovenbird.recipe.size import format_size

    records = Store(cache_folder()).records()
    if as_json:
        print(
            json.dumps(
                [{"step": r.name, "key": r.key, "size": r.size, "took": r.took, "used": used} for r, used in records]
            )
        )
        return
    for record, used in records:
        when = datetime.fromtimestamp(used, UTC).strftime("%Y-%m-%d %H:%M")
        print(f"{when}  {record.key}  {format_size(record.size):>8}  {record.took:6.1f} s  {record.name}")


@app.command("size")
def size(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Say how large the store is, and its limit."""
    from ovenbird.build.clean import store_size
    from ovenbird.build.store import Store, cache_folder, limit_from_environment
    from ovenbird.recipe.size import format_size

    sizes = {**store_size(Store(cache_folder())), "limit": limit_from_environment()}
    if as_json:
        print(json.dumps(sizes))
        return
    for name, value in sizes.items():
        print(f"{name:14} {format_size(value)}")


@app.command("gc")
def gc(
    limit: Annotated[
        str | None, typer.Option(help="Shrink to this size, such as 5G (default: everything goes).")
    ] = None,
    keep_packages: Annotated[bool, typer.Option(help="Keep the downloaded packages.")] = False,
) -> None:
    """Take kept steps away, the longest unused first."""
    from ovenbird.build.clean import keep_within
    from ovenbird.build.engine import Engine
    from ovenbird.build.store import Store, cache_folder
    from ovenbird.errors import UsageError
    from ovenbird.recipe.size import format_size, parse_size

    try:
        wanted = parse_size(limit) if limit is not None else 0
    except ValueError as error:
        raise UsageError(str(error)) from error
    cache = cache_folder()
    freed = keep_within(Store(cache), Engine.at(cache), wanted, packages=not keep_packages)
    print(f"{freed.steps} steps and {freed.packages} packages taken away, about {format_size(freed.size)}")
