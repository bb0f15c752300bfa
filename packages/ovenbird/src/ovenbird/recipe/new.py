"""A new folder with a recipe that builds as it is, to change from there: `ovenbird new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ovenbird.errors import UsageError, from_os_error
from ovenbird.recipe import rules
from ovenbird.recipe.problems import shown

TEMPLATE: Final = Path(__file__).resolve().parent / "template"
SCHEMA: Final = "ovenbird.schema.json"
"""The schema's file in a new folder, if it is asked for."""
_RENAMED: Final = {"gitignore": ".gitignore"}  # a real .gitignore would hide files of Ovenbird itself


def new_recipe(folder: Path, *, schema: bool = False, keys: bool = False) -> list[Path]:
    """Makes `folder` with a recipe named like it, and returns the files made. Nothing that exists is overwritten.

    With `schema`, the recipe's JSON Schema is written beside it and named in its first line, where editors look. With
    `keys`, its devices take updates that the user's key "updates" signs; the key is made if there is none.
    Raises UsageError if the folder has something in it already or its name can be no image's.
    """
    name = Path(folder.absolute()).name
    complaint = rules.name(name)
    if complaint is not None:
        raise UsageError(complaint.message, hint=complaint.hint)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{shown(folder.absolute())} exists already and is not empty",
                hint="nothing was changed; use another name",
            )
        contents = _contents(name, schema=schema)
        if keys:
            recipe = Path("ovenbird.toml")
            contents[recipe] = _with_updates(contents[recipe])
        return [
            *(_own_key(folder) if keys else ()),
            *(_write(folder / where, text) for where, text in contents.items()),
        ]
    except OSError as error:
        raise from_os_error(error) from error


def _own_key(folder: Path) -> list[Path]:
    """Put the certificate of the user's key into a recipe's folder; returns the files made."""
    from ovenbird.keys.folder import DEFAULT, all_keys, copy_certificate, find_key, new_key

    known = DEFAULT in [key.name for key in all_keys()]
    key = find_key(DEFAULT) if known else new_key(DEFAULT)
    made = [] if known else [key.private, key.certificate]
    return [*made, copy_certificate(key, folder / "keys")]


def _with_updates(recipe: str) -> str:
    """The recipe's text with its section [update] in force."""
    return re.sub(r"(?m)^# (\[update\]|keys = \[.*\]$)", r"\1", recipe)


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as stream:  # "x" also refuses what came into being just now
        stream.write(text)
    return file


def _contents(name: str, *, schema: bool) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_file():
            where = source.relative_to(TEMPLATE)
            where = where.with_name(_RENAMED.get(where.name, where.name))
            found[where] = re.sub("@NAME@", name, source.read_text(encoding="utf-8"))
    if schema:
        import msgspec

        from ovenbird.recipe.schema import recipe_schema

        recipe = Path("ovenbird.toml")
        found[recipe] = f"#:schema ./{SCHEMA}\n{found[recipe]}"
        found[Path(SCHEMA)] = msgspec.json.format(msgspec.json.encode(recipe_schema())).decode() + "\n"
    return found
