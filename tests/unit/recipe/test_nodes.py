"""Reading TOML into nodes, and merging them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.recipe.nodes import Node, merge, parse_toml
from ovenbird.recipe.problems import Problems

FILE = Path("/r/ovenbird.toml")
Plain = dict[str, object]


def parse(text: str | bytes) -> tuple[Node | None, Problems]:
    problems = Problems()
    return parse_toml(text if isinstance(text, bytes) else text.encode(), FILE, problems), problems


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1\nb 2\n", 2, "not TOML: expected '=' after a key"),
        ("a = 1\na = 2\n", 2, "not TOML: cannot overwrite a value"),
        ("[a]\n\n[a]\n", 3, "not TOML: cannot declare"),
        ("a = 'x\n", 1, "not TOML: "),
        ('a = 1\nb = """x\n', 2, "not TOML: unterminated string"),
        ("a = [1,\n2\n", 2, "not TOML: unclosed array"),
        ("a = \n", 1, "not TOML: invalid value"),
        ("a = yes\n", 1, "not TOML: invalid value"),
        ("\ufeffa = 1\n", 1, "byte order mark"),
        (b"a = 1\nb = '\xff'\n", 2, "not UTF-8"),
        ("a = 1\nb = 0x" + "f" * 40, 2, "too large"),
        ("a = " + "9" * 5000, None, "not TOML"),
        ("a = 1\nb = 2021-13-45", 2, "not TOML"),
        ("a = " + "[" * 100_000, None, "nested far too deeply"),
        ("a = " + "[" * 300 + "]" * 300, None, "nested far too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_toml_has_its_line(text: str | bytes, line: int | None, message: str) -> None:
    node, problems = parse(text)
    assert node is None
    [problem] = problems.found
    assert message in problem.message
    assert problem.line == line
    assert problem.file == FILE


def test_nodes_know_their_lines() -> None:
    node, problems = parse("[build]\nstages = [\n  'os',\n  { use = 'ssh' },\n]\n")
    assert node is not None
    assert not problems.found
    assert node.table is not None
    build = node.table["build"]
    assert build.table is not None
    stages = build.table["stages"]
    assert (build.line, stages.line) == (1, 2)
    assert stages.items is not None
    assert [item.line for item in stages.items] == [3, 4]


def node_of(value: object, file: str = "a") -> Node:
    if isinstance(value, dict):
        table = cast("Plain", value)
        return Node(Path(file), 1, table={key: node_of(item, file) for key, item in table.items()})
    if isinstance(value, list):
        items = cast("list[object]", value)
        return Node(Path(file), 1, items=[node_of(item, file) for item in items])
    return Node(Path(file), 1, value)


# Tables in which a key always has one kind, as in recipes: t… tables, l… lists, anything else scalars.
_SCALARS = st.integers() | st.text(max_size=3) | st.booleans()
_TABLES: st.SearchStrategy[Plain] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "a": _SCALARS,
            "b": _SCALARS,
            "la": st.lists(_SCALARS, max_size=3),
            "lb": st.lists(_SCALARS, max_size=3),
            "ta": _TABLES,
            "tb": _TABLES,
        },
    )
)


def merged(first: Plain, later: Plain) -> Plain:
    problems = Problems()
    result = merge(node_of(first), node_of(later, "b"), problems).plain()
    assert not problems.found
    return cast("Plain", result)


def expected(first: Plain, later: Plain) -> Plain:
    """The rule, said once more in its shortest form."""
    result = dict(first)
    for key, value in later.items():
        if key.startswith("t") and key in first:
            result[key] = expected(cast("Plain", first[key]), cast("Plain", value))
        elif key.startswith("l") and key in first:
            result[key] = [*cast("list[object]", first[key]), *cast("list[object]", value)]
        else:
            result[key] = value
    return result


@given(_TABLES, _TABLES)
@settings(max_examples=60)
def test_tables_merge_lists_append_later_wins(first: Plain, later: Plain) -> None:
    assert merged(first, later) == expected(first, later)


@given(_TABLES, _TABLES, _TABLES)
@settings(max_examples=40)
def test_merging_is_associative(one: Plain, two: Plain, three: Plain) -> None:
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(_TABLES)
@settings(max_examples=30)
def test_nothing_is_the_neutral_element(table: Plain) -> None:
    assert merged({}, table) == table == merged(table, {})


@pytest.mark.parametrize(
    ("first", "later", "message"),
    [
        ({"x": [1]}, {"x": "a"}, "`x` is a text here, but a list in"),
        ({"x": {"y": {}}}, {"x": {"y": [1]}}, "`x.y` is a list here, but a table in"),
        ({"x": 1}, {"x": {}}, "`x` is a table here, but a whole number in"),
    ],
)
def test_other_kinds_do_not_merge(first: Plain, later: Plain, message: str) -> None:
    problems = Problems()
    merge(node_of(first), node_of(later, "b"), problems)
    [problem] = problems.found
    assert problem.message.startswith(message)
    assert problem.file == Path("b")


@given(st.text(max_size=60))
def test_any_text_gives_nodes_or_one_problem(text: str) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raw = text.encode(errors="surrogatepass")
    node, problems = parse(raw)
    if node is None:
        assert len(problems.found) == 1
    else:
        assert node.plain() == tomllib.loads(text)
