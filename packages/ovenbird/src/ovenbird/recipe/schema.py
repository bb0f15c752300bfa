"""The JSON Schema of a recipe, for editors: made from the model, with the stock stages' parameters from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from ovenbird import boards
from ovenbird.recipe import duration
from ovenbird.recipe.model import ARCHIVE_COMPONENTS, Recipe
from ovenbird.recipe.parameters import Parameter
from ovenbird.recipe.problems import Problems
from ovenbird.recipe.size import PATTERN, format_size
from ovenbird.recipe.stage import CLEANUP, STOCK, StageFile, describe_stage, stock_names

Schema = dict[str, Any]
_TYPES: Final[dict[str, Schema]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": ["string", "integer"]}},
    "choice": {"type": "string"},
    "file": {"type": "string"},
    "folder": {"type": "string"},
    "files": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}


def recipe_schema(*, stock: Path = STOCK) -> Schema:
    """JSON Schema (2020-12) of `ovenbird.toml`."""
    schema = msgspec.json.schema(Recipe, schema_hook=_other_types)
    definitions: dict[str, Schema] = schema["$defs"]
    for definition in definitions.values():
        for value in definition.get("properties", {}).values():
            _tidy(value)
    definitions["Image"]["properties"]["board"]["enum"] = boards.names()
    definitions["StageUse"] = _stage_use(stock)
    definitions["App"]["properties"]["ports"]["items"]["type"] = ["string", "integer"]
    components = definitions["Base"]["properties"]["components"]
    components["items"]["examples"] = list(ARCHIVE_COMPONENTS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ovenbird recipe (ovenbird.toml)",
        **schema,
    }


def stock_stages(stock: Path = STOCK) -> dict[str, StageFile]:
    """What the stock stages say of themselves, by name. Raises RecipeError if one is wrong."""
    problems = Problems()
    found = {name: describe_stage(stock / name, problems) for name in stock_names(stock)}
    problems.stop_if_any()
    return {name: described for name, described in found.items() if described is not None}


def _tidy(value: Schema) -> None:
    """One key's schema as TOML has it: sizes as texts, no null (leaving a key out is what it means)."""
    if "$ref" in value or value.get("default", ...) is None:
        value.pop("default", None)
    if {"type": "null"} in value.get("anyOf", []):
        value.update(next(part for part in value.pop("anyOf") if part != {"type": "null"}))
    for pattern, spell in ((PATTERN, format_size), (duration.PATTERN, duration.format_duration)):
        if value.get("pattern") == pattern:
            value["type"] = "string"
            value |= {"default": spell(value["default"])} if isinstance(value.get("default"), int) else {}
    items = value.get("items", {})
    if items.get("description") == "":
        del items["description"]


def _other_types(kind: type) -> Schema:
    if kind is Path:
        return {"type": "string", "description": "A file, relative to the recipe file that names it."}
    raise NotImplementedError(kind)  # what msgspec wants to hear of a type that has no schema


_EMULATE: Schema = {
    "type": "boolean",
    "default": False,
    "description": "Run the stage and what follows it under emulation, for a board of another architecture.",
}


def _stage_use(stock: Path) -> Schema:
    stages = stock_stages(stock)
    names = [name for name in stages if name != CLEANUP]
    tables = [_stage_table(name, described) for name, described in stages.items()]
    own: Schema = {
        "type": "object",
        "title": "A stage of your own, with parameters",
        "properties": {"use": {"type": "string", "pattern": "^[.~]|/"}, "emulate": _EMULATE},
        "required": ["use"],
    }
    return {
        "title": "Stage",
        "anyOf": [
            {"type": "string", "enum": names, "title": "A stock stage"},
            {"type": "string", "pattern": "^[.~]|/", "title": "The folder of a stage of your own"},
            *tables,
            own,
        ],
    }


def _stage_table(name: str, described: StageFile) -> Schema:
    parameters = {key: _parameter(parameter) for key, parameter in described.parameters.items()}
    required = [key for key, parameter in described.parameters.items() if parameter.required]
    return {
        "type": "object",
        "title": f"The stock stage {name}",
        "description": described.description,
        "properties": {"use": {"const": name}, "emulate": _EMULATE, **parameters},
        "required": ["use", *required],
        "additionalProperties": False,
    }


def _parameter(parameter: Parameter) -> Schema:
    schema: Schema = {**_TYPES[parameter.type], "description": parameter.help}
    schema |= {"minimum": parameter.minimum} if parameter.minimum is not None else {}
    schema |= {"maximum": parameter.maximum} if parameter.maximum is not None else {}
    if parameter.pattern and parameter.type == "string":
        schema["pattern"] = f"^(?:{parameter.pattern})$"
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema
