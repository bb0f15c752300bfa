"""`ovenbird status`: how devices are."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def status(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how devices are: what runs on them, from which slot, and their health.

    Ends with 0 if all are well, 1 if one is not, 4 if one could not be reached.
    """
    from ovenbird.cli import results, tables
    from ovenbird.deliver import watch

    found = watch.glances(devices)
    if as_json:
        results.as_json(found)
    else:
        tables.table(watch.COLUMNS, [watch.row(one.name, one.value) for one in found if one.value is not None])
    results.end(found)
