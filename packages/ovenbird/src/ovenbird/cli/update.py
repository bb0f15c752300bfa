"""`ovenbird update`: a bundle to one device or many, followed until it is committed or rolled back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def update(
    devices: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="HOST, HOST:PORT, http://user:password@HOST/, or a name.")
    ],
    recipe: Annotated[Path, typer.Option(help="The recipe to build, or its folder.")] = Path(),
    bundle: Annotated[Path | None, typer.Option(help="Send this bundle; nothing is built.")] = None,
    trial_only: Annotated[bool, typer.Option("--trial-only", help="Leave the commit to `ovenbird slots`.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End when the bundle is written.")] = False,
    allow_downgrade: Annotated[bool, typer.Option("--allow-downgrade", help="Also send an older version.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Try again what failed on the device before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """Update devices: build if needed, send, follow the restart and the trial.

    Ends with 0 if every device has committed, 1 if one refused or rolled back, 4 if one could not be reached.
    """
    from ovenbird.deliver import fleet, target
    from ovenbird.deliver.update import Wishes
    from ovenbird.progress import choose

    progress = choose(quiet=as_json)
    wishes = Wishes(allow_downgrade=allow_downgrade, force=force, trial_only=trial_only, wait=not no_wait)
    targets = [target.parse(text) for text in devices]
    file = bundle or fleet.built(recipe, progress)
    outcomes = fleet.update_all(targets, file, wishes, progress, target.ask_password)
    if as_json:
        print(fleet.to_json(outcomes))
    else:
        for line in fleet.report(outcomes):
            print(line)
    raise typer.Exit(fleet.exit_code(outcomes))
