"""The reference page of the recipe, `docs/recipe.md`, made from the model and the stock stages.

    python -m ovenbird.recipe.reference > docs/recipe.md

A test compares the committed page with what this makes, so that the page cannot fall behind.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from ovenbird import boards
from ovenbird.recipe.decode import annotated
from ovenbird.recipe.duration import format_duration
from ovenbird.recipe.model import RELEASES, Image, Recipe
from ovenbird.recipe.parameters import Parameter
from ovenbird.recipe.schema import stock_stages
from ovenbird.recipe.size import format_size
from ovenbird.recipe.stage import CLEANUP, StageFile

_HEAD: Final = """\
<!-- Made by `python -m ovenbird.recipe.reference`: change the model, the stages or that module, not this page. -->
# The recipe

A recipe is a file `ovenbird.toml` ([TOML](https://toml.io)) that says what to build. `ovenbird new NAME` writes one
to begin with, `ovenbird check` tells what is understood of it or everything that is wrong with it, and
`ovenbird schema` prints a JSON Schema for editors. The smallest recipe:

```toml
[image]
name = "hello"
version = "1.0.0"
board = "vm"
```

Sizes are texts with a unit, as in `"512M"`: K, M, G and T are powers of 1024. Times are texts, too, as in `"90s"`:
s, m and h are seconds, minutes and hours. Paths are relative to the file that writes them; `~/` is your home. Unknown
keys are errors, not ignored.

## Files that share: `include`

```toml
include = ["../common.toml"]
```

{include}
"""

_STAGES: Final = """\
## Stages

A stage is a folder with a `Containerfile.part`: instructions as in a Dockerfile, without `FROM`, because each stage
goes on where the one before it ended. Its own folder is its context. Stages run in the order of the list:

```toml
[build]
stages = [
  "os",                                  # a stock stage
  { use = "ssh", keys = "keys/*.pub" },  # the same with parameters
  "./stages/mine",                       # a folder of your own
]
```

### `stage.toml`

A stage's folder may have a `stage.toml`, which says what the stage needs and takes:

```toml
description = "Greets whoever logs in"
packages = ["figlet"]

[parameters.message]
type = "string"
default = "hello"
help = "What to say"
```

KEYS

Each parameter is a table `[parameters.NAME]` with these keys, and reaches the `Containerfile.part` as `ARG NAME`:

PARAMETER

| type | in the recipe | value of the `ARG` |
|---|---|---|
| `string` | `"text"` | the text |
| `integer` | `7` | `7` |
| `boolean` | `true` | `true` or `false` |
| `list` | `["a", "b"]` | `a b` |
| `choice` | one of `choices` | the text |
| `file` | `"logo.png"` | `parameters/NAME/logo.png`, a copy in the stage's context; empty without a file |
| `files` | `"keys/*.pub"` or a list of such | `parameters/NAME`, a folder in the stage's context; empty without files |

## The stock stages
"""


def page() -> str:
    """The whole page, in Markdown."""
    sections: list[str] = []
    include = ""
    for field in msgspec.structs.fields(Recipe):
        bare, metas = annotated(field.type)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            needed = "" if not field.required else " Every recipe has this section."
            sections.append(f"## `[{field.encode_name}]`\n\n{bare.__doc__}{needed}\n\n{_keys(bare)}")
            sections += [_boards()] if bare is Image else []
        elif (listed := _listed(field.type)) is not None:
            many = " Each is a section of its own; there may be as many as you like."
            sections.append(f"## `[[{field.encode_name}]]`\n\n{listed.__doc__}{many}\n\n{_keys(listed)}")
        else:
            include = _description(metas)
    parts = [_HEAD.format(include=include), *sections]
    parts.append(_STAGES.replace("KEYS\n", _keys(StageFile)).replace("PARAMETER\n", _keys(Parameter)))
    parts += [_stage(name, described) for name, described in stock_stages().items()]
    return "\n".join(parts)


def _listed(hint: object) -> type[msgspec.Struct] | None:
    """The struct that a list of tables has for each, if it is one."""
    item, _ = annotated(_parts(annotated(hint)[0])[1])
    return item if isinstance(item, type) and issubclass(item, msgspec.Struct) else None


def _boards() -> str:
    rows = "\n".join(f"| `{name}` | {boards.board(name).description} |" for name in boards.names())
    return f"| board | machine |\n|---|---|\n{rows}\n"


def _keys(struct: type[msgspec.Struct]) -> str:
    rows = ["| key | what | kind | default |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        bare, metas = annotated(field.type)
        rows.append(
            f"| `{field.encode_name}` | {_description(metas)} | {_kind(bare, metas)} | {_default(field, metas)} |"
        )
    return "\n".join(rows) + "\n"


def _description(metas: tuple[msgspec.Meta, ...]) -> str:
    return " ".join(meta.description for meta in metas if meta.description).replace("|", "\\|")


def _extra(metas: tuple[msgspec.Meta, ...]) -> dict[str, Any]:
    return {key: value for meta in metas for key, value in (meta.extra or {}).items()}


def _read(metas: tuple[msgspec.Meta, ...]) -> str:
    return str(_extra(metas).get("read", ""))


def _kind(bare: object, metas: tuple[msgspec.Meta, ...]) -> str:
    """A key's kind in words, with an example where there is one."""
    examples = [example for meta in metas for example in (meta.examples or ())]
    like = f', as `"{examples[0]}"`' if examples else ""
    match _extra(metas).get("read"):
        case "size":
            return "size"
        case "duration":
            return "time"
        case "file" | "eeprom":
            return "file"
        case "certificate":
            return "certificate"
        case "stage":
            return "stage"
        case "release":
            return " or ".join(f'`"{release}"`' for release in RELEASES)
        case "words":
            return "list of texts" + (f", as `{_toml_list(examples)}`" if examples else "")
        case "environment":
            return 'table of texts, as `{ NAME = "VALUE" }`'
        case "files":
            return 'table of files, as `{ "/etc/x" = "x" }`'
        case "python" | "go" | "binary" | "container" | "port":
            return "text" + like
        case _:
            pass
    choices, item = _parts(bare)
    if choices:
        return " or ".join(f'`"{choice}"`' for choice in choices)
    if item is not None:
        inner, annotations = annotated(item)
        kind = _kind(inner, annotations)
        head, _, example = kind.partition(", as ")
        return f"list of {head}s" + (f", as `[{example.strip('`')}]`" if example else "")
    names: dict[object, str] = {str: "text", bool: "boolean", int: "whole number", object: "as the type"}
    return names.get(bare, "table") + like


def _toml_list(examples: list[Any]) -> str:
    quoted = ", ".join(f'"{example}"' for example in examples)
    return f"[{quoted}]"


def _parts(bare: object) -> tuple[tuple[str, ...], object]:
    """The texts of a closed choice, and the type of a list's items (None if it is no list)."""
    if get_origin(bare) is Literal:
        return get_args(bare), None
    return (), get_args(bare)[0] if get_origin(bare) is tuple else None


def _default(field: FieldInfo, metas: tuple[msgspec.Meta, ...]) -> str:
    if field.required:
        return "must be given"
    value: object = field.default if field.default is not NODEFAULT else None
    if value is None or value in ((), ""):
        return ""
    if isinstance(value, int) and (spell := {"size": format_size, "duration": format_duration}.get(_read(metas))):
        return f'`"{spell(value)}"`'
    return _toml(value)


def _toml(value: object) -> str:
    """A value as TOML writes it, in backquotes; JSON is the same for what can be a default here."""
    return f"`{msgspec.json.format(msgspec.json.encode(value), indent=0).decode()}`"


def _stage(name: str, described: StageFile) -> str:
    last = " It comes last by itself and need not be named." if name == CLEANUP else ""
    readme = f"../packages/ovenbird/src/ovenbird/stages/{name}/README.md"
    lines = [f"### `{name}`", "", f"{described.description}.{last} [More]({readme})", ""]
    if described.packages:
        lines += [f"Packages: {', '.join(f'`{package}`' for package in described.packages)}.", ""]
    if described.parameters:
        lines += ["| parameter | what | type | default |", "|---|---|---|---|"]
    for key, parameter in described.parameters.items():
        choices = f": {', '.join(f'`{choice}`' for choice in parameter.choices)}" if parameter.choices else ""
        default = "must be given" if parameter.required else ""
        if parameter.default not in (None, "", []):
            default = _toml(parameter.default)
        what = parameter.help.replace("|", "\\|")
        lines.append(f"| `{key}` | {what} | {parameter.type}{choices} | {default} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
