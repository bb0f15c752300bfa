"""`ovenbird bundle`: look into a bundle, and judge it as a device would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovenbird.cli.tables import facts, heading, table
from ovenbird.units import size_text

if TYPE_CHECKING:
    from ovenbird.image.reading.bundle import BundleInfo

app = typer.Typer(help="Look into bundles (.swu).", add_completion=False, no_args_is_help=True, rich_markup_mode=None)
File = Annotated[Path, typer.Argument(help="The bundle.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("inspect")
def inspect(file: File, as_json: Json = False) -> None:
    """Show what a bundle says of itself. Nothing is verified."""
    from ovenbird.image.reading.bundle import inspect_bundle

    info = inspect_bundle(file)
    if as_json:
        _print(info)
        return
    _show(info)


@app.command("verify")
def verify(
    file: File,
    cert: Annotated[
        list[Path] | None,
        typer.Option(
            help="A certificate (PEM) that devices accept; may be given more than once. [default: your keys']"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a bundle as a device with these certificates does: its signature, and each of its bytes."""
    from ovenbird.errors import UsageError
    from ovenbird.image.reading.bundle import verify_bundle
    from ovenbird.keys.certificates import pem, read_certificates
    from ovenbird.keys.folder import all_keys, keys_folder

    certificates = read_certificates(cert) if cert else tuple(key.load() for key in all_keys())
    if not certificates:
        raise UsageError(f"there are no keys in {keys_folder()}", hint="name the certificate: --cert FILE")
    verdict = verify_bundle(file, [pem(certificate) for certificate in certificates])
    if as_json:
        _print(verdict)
        return
    size = sum(image.size for image in verdict.images)
    name = f"{verdict.name} {verdict.version}".strip()
    print(f"{name} for {', '.join(verdict.compatible)}: good, signed by {verdict.signer.name}")
    print(f"{len(verdict.images)} images, {size_text(size)}, are as signed; certificate {verdict.signer.fingerprint}")


def _print(value: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _show(info: BundleInfo) -> None:
    signers = ", ".join(f"{one.name} ({one.fingerprint[:16]})" for one in info.claims)
    facts(
        [
            ("bundle", info.path),
            ("name", f"{info.name} {info.version}".strip()),
            ("description", info.description),
            ("size", size_text(info.size)),
            ("board", info.board),
            ("for", ", ".join(info.compatible)),
            ("signature", f"says {signers or 'nobody'}; not verified (ovenbird bundle verify)"),
            ("digest", info.digest),
        ]
    )
    heading("Files")
    table(["name", ">size"], [(one.name, size_text(one.size)) for one in info.members])
    heading("Selections")
    rows = [
        (choice.name, image.filename, image.device, image.compressed or "plain", ", ".join(choice.refused))
        for choice in info.selections
        for image in choice.images
    ]
    table(["selection", "file", "goes to", "packed", "not done by Ovenbird"], rows)
