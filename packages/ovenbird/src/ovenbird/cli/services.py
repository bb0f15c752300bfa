"""`ovenbird services`: what devices run."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def services(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    everything: Annotated[bool, typer.Option("--all", help="Also the system's units.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the apps of devices: state, since when, restarts, memory, processor time, last log line."""
    from ovenbird.cli import results, tables
    from ovenbird.deliver import target, watch

    found = watch.services(devices, target.ask_password, units=everything)
    if as_json:
        results.as_json(found)
    else:
        rows = [row for one in found if one.value for row in watch.service_rows(one.name, one.value)]
        tables.table(*watch.compact(watch.SERVICE_COLUMNS, rows, alone=len(found) == 1))
        for one in found:
            if one.value and not watch.service_rows(one.name, one.value):
                print(f"{one.name}: no apps; --all lists the system's units")
    results.end(found)
