"""`ovenbird ssh`: a shell on a device, or one command."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP

# What follows the device is the command, options and all.
SETTINGS = {"allow_interspersed_args": False}


def ssh(
    device: Annotated[str, typer.Argument(metavar="TARGET", help=DEVICE_HELP)],
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Run this there.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="The port of its SSH server.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-l", help="Who to be there, such as admin.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option for ssh (repeatable).")
    ] = None,
) -> None:
    """Log in by the machine's own ssh, whose settings and keys count. Options come before TARGET."""
    from ovenbird.deliver import target
    from ovenbird.run import become

    become(target.ssh_command(target.parse(device), command or [], port=port, user=user, options=option or []))
