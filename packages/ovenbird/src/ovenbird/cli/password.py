"""`ovenbird password`: give devices a new password."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def password(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the new one from the first line of the input.")] = False,
) -> None:
    """Give devices a new password, and remember it here. It is asked for twice."""
    from ovenbird.cli import results
    from ovenbird.deliver import operate, target
    from ovenbird.deliver.each import each

    new = target.read_password() if stdin else target.ask_new_password()

    found = each(devices, lambda one, ask: operate.change_password(one, ask, new), target.ask_password)
    results.lines(found, lambda said: f"has its new password. {said}".rstrip())
    if note := target.overruled():
        typer.echo(note, err=True)
    results.end(found)
