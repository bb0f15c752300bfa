"""`ovenbird stop`: stop an app."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def stop(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    app: Annotated[str, typer.Argument(metavar="APP", help="An app, or a unit that the device lists.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End when the device has taken the order.")] = False,
) -> None:
    """Stop an app on devices, and say how it is then."""
    from ovenbird.cli import results
    from ovenbird.deliver import target
    from ovenbird.deliver.each import each
    from ovenbird.deliver.operate import order

    found = each(devices, lambda one, ask: order(one, ask, app, "stop", wait=not no_wait), target.ask_password)
    results.lines(found, str)
    results.end(found)
