"""What is made from the model: the JSON Schema and the reference page."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from ovenbird.recipe import reference
from ovenbird.recipe.load import load
from ovenbird.recipe.model import Health, Recipe
from ovenbird.recipe.schema import recipe_schema, stock_stages
from ovenbird.recipe.stage import stock_names

from .conftest import IMAGE, Write

PAGE = Path(__file__).resolve().parents[3] / "docs/recipe.md"


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference.page(), "run: python -m ovenbird.recipe.reference > docs/recipe.md"


def test_the_way_to_make_the_page() -> None:
    command = [sys.executable, "-m", "ovenbird.recipe.reference"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == PAGE.read_text()


def test_the_page_has_every_key_and_every_parameter() -> None:
    page = reference.page()
    for section in msgspec.structs.fields(Recipe):
        struct, title = (Health, "[[health]]") if section.name == "health" else (section.type, f"[{section.name}]")
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            part = page.split(f"## `{title}`", 1)[1].split("\n## ", 1)[0]
            for field in msgspec.structs.fields(struct):
                assert f"| `{field.name}` | " in part
                assert f"| `{field.name}` |  |" not in part, "a key without a description"
    for name, described in stock_stages().items():
        part = page.split(f"### `{name}`", 1)[1].split("\n### ", 1)[0]
        assert described.description in part
        for parameter in described.parameters:
            assert f"| `{parameter}` | " in part


def test_the_page_s_rows_have_four_cells() -> None:
    for line in reference.page().splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5)


def test_links_on_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\((\.\./[^)]*)\)", PAGE.read_text()):
        assert (PAGE.parent / target).is_file()


def test_the_page_s_smallest_recipe_loads(write: Write) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert load(write(blocks[0])).recipe.image.name == "hello"
    for block in blocks:
        tomllib.loads(block)


def test_schema_follows_the_model() -> None:
    schema = recipe_schema()
    definitions = schema["$defs"]
    assert schema["$ref"] == "#/$defs/Recipe"
    assert definitions["Recipe"]["required"] == ["image"]
    assert definitions["Recipe"]["additionalProperties"] is False
    assert definitions["Disk"]["properties"]["root"]["type"] == "string"
    assert definitions["Disk"]["properties"]["root"]["default"] == "512M"
    assert definitions["Disk"]["properties"]["compression_level"]["maximum"] == 22
    assert definitions["State"]["properties"]["var"]["enum"] == ["persistent", "volatile"]
    assert definitions["Disk"]["properties"]["rescue"]["type"] == "string"
    assert definitions["Update"]["properties"]["deadline"]["default"] == "5m"
    assert definitions["Update"]["properties"]["deadline"]["type"] == "string"
    assert definitions["Recipe"]["properties"]["health"]["items"] == {"$ref": "#/$defs/Health"}
    assert "vm" in definitions["Image"]["properties"]["board"]["enum"]
    assert definitions["Base"]["properties"]["mirror"]["type"] == "string"
    assert all(value.get("description") or "$ref" in value for value in definitions["Network"]["properties"].values())


def test_schema_knows_the_stock_stages() -> None:
    stages = recipe_schema()["$defs"]["StageUse"]["anyOf"]
    assert stages[0]["enum"] == [name for name in stock_names() if name != "cleanup"]
    [ssh] = [stage for stage in stages if stage.get("properties", {}).get("use") == {"const": "ssh"}]
    assert ssh["properties"]["port"]["type"] == "integer"
    assert ssh["additionalProperties"] is False
    [users] = [stage for stage in stages if stage.get("properties", {}).get("use") == {"const": "users"}]
    assert "name" in users["required"]


def accepts(schema: dict[str, Any], value: object, definitions: dict[str, Any]) -> bool:
    """Whether a value holds by a schema: those of JSON Schema's words that Ovenbird's schema uses, and no others."""
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    words = set(schema) - {"title", "description", "default", "examples", "$schema", "$defs"}
    judged = {
        "$ref",
        "anyOf",
        "type",
        "enum",
        "const",
        "pattern",
        "minimum",
        "maximum",
        "items",
        "properties",
        "required",
    }
    assert words <= judged | {"additionalProperties"}, words
    if "$ref" in schema:
        return accepts(definitions[schema["$ref"].rsplit("/", 1)[1]], value, definitions)
    if "anyOf" in schema and not any(accepts(part, value, definitions) for part in schema["anyOf"]):
        return False
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(isinstance(value, types[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
            return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list) and "items" in schema:
        return all(accepts(schema["items"], item, definitions) for item in cast("list[object]", value))
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False and set(table) - set(known):
            return False
        return set(schema.get("required", ())) <= set(table) and all(
            accepts(known[key], item, definitions) for key, item in table.items() if key in known
        )
    return True


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (IMAGE, True),
        (IMAGE + "[build]\nstages = ['os', './x', { use = 'ssh', port = 22 }, { use = './x', y = 1 }]\n", True),
        (IMAGE + "[disk]\nroot = '1G'\n[state]\nvar = 'volatile'\n[base]\nmirror = 'http://x/'", True),
        ("[disk]\nroot = '1G'\n", False),
        (IMAGE + "[disk]\nroot = '1GB'\n", False),
        (IMAGE + "[disk]\nroot = 1\n", False),
        (IMAGE + "[disk]\nbot = '1G'\n", False),
        (IMAGE + "[disk]\ncompression_level = 30\n", False),
        (IMAGE.replace('"vm"', '"wm"'), False),
        (IMAGE + "[build]\nstages = ['oss']\n", False),
        (IMAGE + "[build]\nstages = [{ use = 'ssh', prot = 22 }]\n", False),
        (IMAGE + "[build]\nstages = [{ use = 'users' }]\n", False),
        (IMAGE + "[base]\npackages = 'x'\n", False),
    ],
)
def test_schema_judges_as_loading_does(text: str, good: bool) -> None:
    schema = recipe_schema()
    assert accepts(schema, tomllib.loads(text), schema["$defs"]) is good


def test_schema_accepts_the_new_recipe() -> None:
    text = (Path(reference.__file__).parent / "template/ovenbird.toml").read_text().replace("@NAME@", "hello")
    schema = recipe_schema()
    assert accepts(schema, tomllib.loads(text), schema["$defs"])
