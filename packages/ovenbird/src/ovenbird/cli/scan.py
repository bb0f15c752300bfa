"""`ovenbird scan`: which devices are on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def scan(
    wait: Annotated[float, typer.Option("--wait", "-w", min=0.1, help="Seconds to listen.")] = 2.0,
    interface: Annotated[
        list[str] | None,
        typer.Option("--interface", "-i", help="Look on this interface, by name or own address (repeatable)."),
    ] = None,
    port: Annotated[int, typer.Option(help="The port to ask Raspberry Pis on that do not announce themselves.")] = 80,
    targets: Annotated[bool, typer.Option("--targets", help="Print only what other verbs take as TARGET.")] = False,
    prometheus: Annotated[
        Path | None, typer.Option("--prometheus", metavar="FILE", help="Write them as Prometheus' targets (file_sd).")
    ] = None,
    exporter: Annotated[
        list[str] | None,
        typer.Option(metavar="[JOB:]PORT", help="With --prometheus: what else to ask there, as 9100 (repeatable)."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="With --prometheus: leave in it who is not found now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the devices on the local networks: name, version, slot, health, model.

    Those that announce themselves by mDNS, and Raspberry Pis that this machine has lately spoken with.
    """
    import msgspec

    from ovenbird.cli import tables
    from ovenbird.deliver import prometheus as targeting
    from ovenbird.deliver import scan as scanning

    exporters = [targeting.Exporter.parse(text) for text in exporter or ()]
    if prometheus is None and (exporters or keep):
        raise typer.BadParameter("--exporter and --keep go with --prometheus FILE")
    found = scanning.scan(wait, interface or [], port)
    if prometheus is not None:
        targeting.write(prometheus, targeting.groups(found, exporters), keep=keep)
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif targets:
        for one in found:
            if one.glance is not None:
                print(one.target)
    else:
        tables.table(scanning.COLUMNS, [scanning.row(one) for one in found])
        if not found:
            typer.echo("No devices were found. They must be on the same network, with mDNS on.", err=True)
