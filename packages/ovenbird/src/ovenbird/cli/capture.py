"""`ovenbird capture`: make a tree and a recipe out of a machine that was set up by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ovenbird.errors import UsageError


def capture(
    machine: Annotated[
        str | None, typer.Argument(metavar="USER@HOST|IMAGE", help="A machine, by SSH, or the image of a disk.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the tarball and the recipe.")] = Path(
        "captured"
    ),
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A list of what else to leave out or to take; see --list.")
    ] = None,
    as_list: Annotated[bool, typer.Option("--list", help="Print the list of what is left out, and end.")] = False,
    name: Annotated[str | None, typer.Option("--name", help="The image's name (default: the machine's).")] = None,
    board: Annotated[str | None, typer.Option("--board", help="The recipe's board (default: a VM's).")] = None,
    slot: Annotated[str | None, typer.Option("--slot", help="The slot of a disk of Ovenbird's: a or b.")] = None,
    partition: Annotated[int | None, typer.Option("--partition", help="The root's partition on another disk.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="The port of the machine's SSH server.")] = None,
    key: Annotated[str | None, typer.Option("--key", "-i", help="The file with the key for SSH.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option for ssh (repeatable).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a tree out of a configured machine, without what is personal or useless, and a recipe that builds it."""
    from ovenbird.capture import job
    from ovenbird.capture.rules import DEFAULTS, read_rules
    from ovenbird.progress import choose

    chosen = read_rules(rules)
    if as_list:
        print(DEFAULTS.read_text(encoding="utf-8") if rules is None else "\n".join(chosen.lines()))
        return
    if machine is None:
        raise UsageError("says no machine", hint="ovenbird capture USER@HOST, or the path of a disk image")
    request = job.Request(
        machine,
        out.absolute(),
        chosen,
        name=name,
        board=board,
        slot=slot,
        partition=partition,
        port=port,
        key=key,
        options=option or [],
    )
    result = job.capture(request, choose(quiet=as_json))
    if as_json:
        facts: dict[str, object] = {
            "tarball": str(result.tarball),
            "recipe": str(result.recipe),
            "sha256": result.sha256,
        }
        facts |= {"paths": result.paths, "left_out": result.left, "size": result.size, "notes": result.notes}
        print(json.dumps(facts))
        return
    for note in result.notes:
        print(f"note: {note}")
    print(f"{result.tarball}: {result.paths} paths, {result.size >> 20} MiB; {result.left} paths were left out")
    print(f"build it: ovenbird build {result.recipe.parent}")
