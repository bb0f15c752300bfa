"""`ovenbird serve`: this workstation as the boot server of machines without a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovenbird.recipe.problems import shown

app = typer.Typer(
    help="Boot machines without a disk from this one.",
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
)
State = Annotated[
    Path | None,
    typer.Option("--state", help="Where images are kept (default: ~/.local/share/ovenbird/serve).", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.callback()
def serve(
    context: typer.Context,
    interface: Annotated[
        str | None, typer.Option("--interface", "-i", help="The interface that the clients are on.")
    ] = None,
    dhcp: Annotated[
        str | None,
        typer.Option(
            "--dhcp",
            help="proxy: beside the DHCP server that is there (default); full: be it; none.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[str | None, typer.Option(help="This server's own address, if it has several.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port of HTTP (default: 8080).", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="The clients' settings (default: serve.toml in --state).", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Give addresses even if another DHCP server answers.")] = False,
    printed: Annotated[
        str | None,
        typer.Option("--print", help="Print what to type into a DHCP server: dnsmasq, isc or kea.", show_default=False),
    ] = None,
    unit: Annotated[bool, typer.Option("--unit", help="Print a unit of systemd for these options.")] = False,
    state: State = None,
) -> None:
    """Serve the images that `ovenbird serve add` has taken in."""
    if context.invoked_subcommand is not None:
        return
    from ovenbird import progress
    from ovenbird.deliver.serve import command

    wishes = command.Wishes(interface, dhcp, address, port)
    order = command.order(state, file, wishes, force=force)
    if unit:
        print(command.unit_text(file, wishes, force=force), end="")
    elif printed is not None:
        print(command.foreign_text(order, printed), end="")
    else:
        command.run(order, progress.choose())


@app.command("add")
def add(
    out: Annotated[Path, typer.Argument(help="The output folder of a build, or its netboot folder.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """Serve a build's image from now on; the one before is kept."""
    import msgspec

    from ovenbird import progress
    from ovenbird.deliver.serve import command

    image, changed = command.images(state).add(out, progress.choose(quiet=as_json))
    if as_json:
        print(
            msgspec.json.encode(
                {"image": image.name, "version": image.manifest.version, "build": image.id, "changed": changed}
            ).decode()
        )
    else:
        how = "serving" if changed else "already serving"
        print(f"{how} {image.name} {image.manifest.version} from {shown(image.folder)}")


@app.command("rollback")
def rollback(
    name: Annotated[str | None, typer.Argument(help="Which image (default: the only one).", show_default=False)] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Serve the former build of an image again."""
    import msgspec

    from ovenbird.deliver.serve import command

    old, new = command.images(state).rollback(name)
    if as_json:
        print(
            msgspec.json.encode(
                {"image": new.name, "version": new.manifest.version, "build": new.id, "before": old.manifest.version}
            ).decode()
        )
    else:
        print(
            f"serving {new.name} {new.manifest.version} ({new.id}) again, in place of {old.manifest.version} ({old.id})"
        )


@app.command("images")
def images(state: State = None, as_json: Json = False) -> None:
    """List the images."""
    import msgspec

    from ovenbird.cli.tables import table
    from ovenbird.deliver.serve import command

    rows = command.image_rows(command.images(state))
    if as_json:
        print(msgspec.json.encode([dict(zip(command.IMAGE_COLUMNS, row, strict=True)) for row in rows]).decode())
    else:
        table(command.IMAGE_COLUMNS, rows)


@app.command("clients")
def clients(
    url: Annotated[
        str, typer.Argument(help="Where the server is, as it says when it starts.")
    ] = "http://127.0.0.1:8080",
    as_json: Json = False,
) -> None:
    """List the clients of a running server."""
    import msgspec

    from ovenbird.cli.tables import table
    from ovenbird.deliver.serve import command

    found = command.live_clients(url)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        table(command.CLIENT_COLUMNS, command.client_rows(found))
