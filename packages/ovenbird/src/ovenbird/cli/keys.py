"""`ovenbird keys`: keys that sign bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovenbird.recipe.problems import shown

if TYPE_CHECKING:
    from ovenbird.keys.folder import Key

app = typer.Typer(help="Keys that sign bundles.", add_completion=False, no_args_is_help=True, rich_markup_mode=None)
To = Annotated[
    Path | None, typer.Option("--to", help="Also put the certificate into this folder, beside the recipe for example.")
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What to call it.")] = "updates", to: To = None, as_json: Json = False
) -> None:
    """Make a key and its certificate."""
    from ovenbird.keys.folder import new_key

    key = new_key(name)
    written = _certificate(key, to)
    if as_json:
        _print([key])
        return
    print(f"made {shown(key.private)} (private: back it up, show it to nobody)")
    print(f"made {shown(written)}")
    print(f"\nIn the recipe of the devices:\n\n    [update]\n    keys = [{_quoted(written)}]")


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Which one (default: all).", show_default=False)] = None,
    as_pem: Annotated[bool, typer.Option("--pem", help="Print the certificates themselves.")] = False,
    as_json: Json = False,
) -> None:
    """List the keys, or print their certificates."""
    from ovenbird.cli.tables import table
    from ovenbird.errors import UsageError
    from ovenbird.keys.certificates import fingerprint, pem
    from ovenbird.keys.folder import all_keys, find_key, keys_folder

    keys = [find_key(name)] if name is not None else all_keys()
    if as_json:
        _print(keys)
        return
    if not keys:
        raise UsageError(f"there are no keys in {keys_folder()}", hint="`ovenbird keys new` makes one")
    if as_pem:
        print("".join(pem(key.load()) for key in keys), end="")
        return
    rows = [
        (key.name, "can sign" if key.private.exists() else "certificate only", fingerprint(key.load())[:32])
        for key in keys
    ]
    table(["name", "here", "certificate (sha256)"], rows)


@app.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="The key to replace.")] = "updates", to: To = None, as_json: Json = False
) -> None:
    """Make the key that follows another one, and say how devices come to it."""
    from ovenbird.keys.folder import rotate_key

    old, new = rotate_key(name)
    written = _certificate(new, to)
    if as_json:
        _print([old, new])
        return
    before = _quoted(written.with_name(old.certificate.name) if to else old.certificate)
    print(f"made {shown(new.private)} (private: back it up, show it to nobody)")
    print(f"made {shown(written)}")
    print(
        f"""
Devices in the field accept {old.name} alone, so go in two releases:

 1. The next release names both, the old one first; the first one signs:
        keys = [{before}, {_quoted(written)}]
 2. Once every device runs it, drop the old one; from then on {new.name} signs:
        keys = [{_quoted(written)}]

A device that misses release 1 takes no release 2: keep {old.name} until none is left behind.
If {old.name} is in the wrong hands, see docs/updates.md."""
    )


def _certificate(key: Key, to: Path | None) -> Path:
    from ovenbird.keys.folder import copy_certificate

    return copy_certificate(key, to) if to is not None else key.certificate


def _quoted(file: Path) -> str:
    """A file as a recipe writes it."""
    text = str(file)
    home = str(Path.home())
    return f'"~{text.removeprefix(home)}"' if text.startswith(f"{home}/") else f'"{text}"'


def _print(keys: list[Key]) -> None:
    import json

    from ovenbird.keys.certificates import fingerprint, pem

    listed = [
        {
            "name": key.name,
            "private": str(key.private) if key.private.exists() else None,
            "certificate": str(key.certificate),
            "fingerprint": fingerprint(key.load()),
            "pem": pem(key.load()),
        }
        for key in keys
    ]
    print(json.dumps(listed, indent=2))
