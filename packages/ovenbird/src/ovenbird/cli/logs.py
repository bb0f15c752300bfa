"""`ovenbird logs`: what devices and their apps have logged, and log."""

from __future__ import annotations

from typing import Annotated

import typer

from ovenbird.cli.results import DEVICE_HELP


def logs(
    devices: Annotated[list[str], typer.Argument(metavar="TARGET...", help=DEVICE_HELP)],
    app: Annotated[str | None, typer.Option("--app", "-a", help="Of this app or unit only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
    level: Annotated[
        str | None, typer.Option(help="This important or more: err, warning, notice, info, debug, or 0 to 7.")
    ] = None,
    since_boot: Annotated[bool, typer.Option("--since-boot", "-b", help="Of this boot only.")] = False,
    previous: Annotated[bool, typer.Option("--previous", help="Of the boot before this one.")] = False,
    text: Annotated[str | None, typer.Option("--text", "-t", help="Only lines with this text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as a JSON object.")] = False,
) -> None:
    """Show the log of devices. A cut connection goes on where it was: no line is lost that the device still has."""
    from ovenbird.cli import results
    from ovenbird.deliver import tail, target
    from ovenbird.deliver.each import Result
    from ovenbird.deliver.logs import Wanted

    wanted = Wanted.of(app, lines, level, since_boot=since_boot, previous=previous, follow=follow, text=text)
    words = tail.Words(several=len(devices) > 1, source=app is None, as_json=as_json)
    if not follow:
        said, found = tail.last(devices, wanted, target.ask_password)
        for one in said:
            print(words.line(one))
        results.end(found)
    failed: list[Result[None]] = []
    for one in tail.follow(devices, wanted, target.ask_password):
        if one.error is not None:
            failed.append(Result(one.name, error=one.error))
        elif one.line is None:
            typer.echo(f"{one.name}: {one.note}", err=True)
        else:
            print(words.line(one), flush=True)
    results.end(failed)
