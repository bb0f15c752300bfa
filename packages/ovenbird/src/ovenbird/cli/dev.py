"""`ovenbird dev`: run an app's program from here on a device, at each save."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer


def dev(
    device: Annotated[
        str, typer.Argument(metavar="TARGET", help="HOST, HOST:PORT, http://user:password@HOST/, or a name.")
    ],
    app: Annotated[str, typer.Argument(metavar="APP", help="An app of the recipe, with `development = true`.")],
    recipe: Annotated[Path, typer.Option(help="The recipe, or its folder.")] = Path(),
    once: Annotated[bool, typer.Option("--once", help="Send it once; do not watch its files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each event and line.")] = False,
) -> None:
    """Run an app from here in place of the packed one, show its log, and send it again at each save.

    The packed program comes back at the end (Ctrl-C), when the connection is lost, and when the device restarts.
    """
    from ovenbird.build.apps.workbench import Workbench
    from ovenbird.deliver import develop, logs, target
    from ovenbird.deliver.access import with_password
    from ovenbird.progress import choose

    def tell(note: develop.Note) -> None:
        if as_json:
            print(note.json(found), flush=True)
        elif note.line is not None:
            print(logs.printable(note.line, source=False), flush=True)
        elif note.error is None:
            typer.echo(f"{app}: {logs.harmless(note.text)}", err=True)
            if note.hint:
                typer.echo(f"  help: {logs.harmless(note.hint)}", err=True)

    def begin(chosen: target.Target) -> tuple[develop.Session, develop.Note | None]:
        session = develop.Session(chosen, bench)
        return session, session.send()

    found = target.parse(device)
    with tempfile.TemporaryDirectory(prefix="ovenbird-dev-") as scratch:
        bench = Workbench.of(recipe, app, Path(scratch), choose(quiet=as_json))
        session, first = with_password(found, target.ask_password, begin)
        try:
            if first is not None:
                tell(first)
            for note in session.run(watch=not once):
                tell(note)
        finally:
            tell(develop.Note("over", develop.ended(session)))
