"""The line-finder: every key, table and list item of any TOML text has the line on which it was written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.recipe.lines import Path, find_lines


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1", ("a",), 1),
        ("\n\na = 1", ("a",), 3),
        ("# [x]\na = 1", ("a",), 2),
        ("a = 1\r\n\r\nb = 2\r\n", ("b",), 3),
        ("a.b.c = 1\na.d = 2", ("a", "d"), 2),
        ("a.b.c = 1", ("a", "b"), 1),
        ("[t]\na = 1", ("t",), 1),
        ("[t]\na = 1", ("t", "a"), 2),
        ("[t.u]\n[t]\na = 1", ("t",), 2),
        ("[t.u]\na = 1", ("t",), 1),
        ("[ t . 'u' ]\na = 1", ("t", "u", "a"), 2),
        ("[[t]]\na = 1\n[[t]]\na = 2", ("t", 1, "a"), 4),
        ("[[t]]\n[[t.u]]\na=1\n[[t]]\n[[t.u]]\na=2", ("t", 1, "u", 0, "a"), 6),
        ("[[t]]\n[t.u]\na=1\n[[t]]\n[t.u]\na=2", ("t", 1, "u", "a"), 6),
        ("\"a.b\" = 1\n'c d' = 2", ("c d",), 2),
        ('"a\\u0041" = 1', ("aA",), 1),
        ('a = """x\n]\n"""\nb = 1', ("b",), 4),
        ('a = """x\\"""\n""""\nb = 1', ("b",), 3),
        ('a = """"""\nb = 1', ("b",), 2),
        ('a = """""x"""""\nb = 1', ("b",), 2),
        ("a = '''\n''''\nb = 1", ("b",), 3),
        ("a = '''''x'''''\nb = 1", ("b",), 2),
        ("a = '\\'\nb = 1", ("b",), 2),
        ('a = "\\"#"\nb = 1', ("b",), 2),
        ("a = [\n 1, # ]\n 2,\n]\nb = 1", ("a", 1), 3),
        ("a = [\n 1, # ]\n 2,\n]\nb = 1", ("b",), 5),
        ("a = [\n [1],\n [2,\n 3]]", ("a", 1, 1), 4),
        ("a = [{ x = 1 },\n { x = 2, y = [\n3] }]", ("a", 1, "y", 0), 3),
        ("a = { b.c = 1, 'd' = 2 }\ne = 1", ("a", "b", "c"), 1),
        ("a = {}\nb = []\nc = 1", ("c",), 3),
        ("a = 1979-05-27 07:32:00 # when\nb = 1", ("b",), 2),
        ("a = [1979-05-27 07:32:00,\n2]", ("a", 1), 2),
        ("[build]\nstages = [\n  'os',\n  { use = 'ssh' },\n]", ("build", "stages", 1, "use"), 4),
    ],
)
def test_line_of(text: str, path: Path, line: int) -> None:
    tomllib.loads(text)
    assert find_lines(text)[path] == line


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _paths(item, (*path, index))


_NOISE = st.sampled_from(
    ["", "]", "[[a]]", "#", "=", "{", "}", ",", "\n", "\n\n# x = 1\n", "'", "\\t", "[t]\nz = 1\n", "é"]
)


class _Writer:
    """Writes a random TOML document in which every value carries its own number, so that its line can be found."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.number = 0

    def document(self) -> str:
        text = self.pairs()
        for index in range(self.draw(st.integers(0, 4))):
            name = f"{self.key()}{index}"
            if self.draw(st.booleans()):
                for _ in range(self.draw(st.integers(1, 3))):
                    text += f"[[{name}]]{self.end()}{self.pairs()}"
                    if self.draw(st.booleans()):
                        text += f"[ {name} . sub ]{self.end()}{self.pairs()}"
                    for _ in range(self.draw(st.integers(0, 2))):
                        text += f'[["{name}".deep]]{self.end()}{self.pairs()}'
            else:
                text += f"[{name}.{self.key()}]{self.end()}{self.pairs()}"
        return text

    def end(self) -> str:
        return self.draw(st.sampled_from(["\n", " # [x] = 'y\n", "\n\n", "\t\n  # '''\n"]))

    def key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    def dotted(self) -> str:
        self.number += 1
        shape = self.draw(st.sampled_from(["k{0}", '"q {0}"', "'#{0}'", '"\\t\\u00e9{0}"', "d{0}.e", "d{0} . 'f]' .g"]))
        return shape.format(self.number)

    def pairs(self) -> str:
        pairs = [f"{self.dotted()} = {self.value()}{self.end()}" for _ in range(self.draw(st.integers(0, 3)))]
        return "".join(pairs)

    def value(self, depth: int = 0) -> str:
        self.number += 1
        mark = f"<{self.number}>"
        kind = self.draw(st.integers(0, 7 if depth < 3 else 5))
        noise = self.draw(_NOISE)
        flat = noise.replace("\n", " ")
        quotes = self.draw(st.sampled_from(["", '"', '""']))
        match kind:
            case 0:
                return f"{self.number}_000_{self.number:03}"
            case 1:
                return f'"{mark}{flat}\\"{flat}"'
            case 2:
                return f"'{mark}{flat.replace(chr(39), '')}\"'"
            case 3:
                return f'"""{mark}{noise}\\"{noise}{quotes}"""'
            case 4:
                return f"'''{mark}{noise}\"{quotes.replace(chr(34), chr(39))}'''"
            case 5:
                return f'"{mark}"'
            case 6:
                gap = self.draw(st.sampled_from(["", "\n", " # ]\n ", "\n\n"]))
                items = f",{gap}".join(
                    f"{gap}{self.value(depth + 1)}{gap}" for _ in range(self.draw(st.integers(0, 3)))
                )
                return f"[{items}{gap}]"
            case _:
                pairs = ", ".join(
                    f"{self.dotted()} = {self.value(depth + 1)}" for _ in range(self.draw(st.integers(0, 3)))
                )
                return f"{{ {pairs} }}"


@given(st.data())
@settings(max_examples=100)
def test_every_value_is_found_on_its_line(data: st.DataObject) -> None:
    text = _Writer(data).document()
    if data.draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    values = tomllib.loads(text)
    lines = find_lines(text)
    assert set(_paths(values)) == set(lines)
    rows = text.replace("\r\n", "\n").split("\n")
    for path, value in _leaves(values):
        if isinstance(value, str):
            mark = value[: value.index(">") + 1]
        else:
            assert isinstance(value, int)
            mark = f"{value // 1_000_000}_000_"
        assert mark in rows[lines[path] - 1]


@given(st.text(alphabet="ab.=[]{}\"'#,\n\r\\ 1", max_size=40))
@settings(max_examples=500)
def test_ends_on_any_text(text: str) -> None:
    lines = find_lines(text)
    try:
        values = tomllib.loads(text)
    except ValueError:
        return
    assert set(_paths(values)) == set(lines)
