"""Whatever is in a recipe: it loads, or it is a RecipeError. Nothing else, ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ovenbird.errors import RecipeError
from ovenbird.recipe.load import load
from ovenbird.recipe.problems import RecipeProblemsError

GOOD = """\
include = ["common.toml"]
[image]
name = "hello"
version = "1.4.0"
board = "vm"
description = "x"
[base]
release = "trixie"
packages = ["podman", "git"]
mirror = "http://deb.example.org/debian"
components = ["main"]
keyrings = ["common.toml"]
sources = ["deb http://x.example.org/ y z"]
[build]
stages = ["os", { use = "ssh", keys = "*.toml", port = 22 }, { use = "users", name = "x", groups = ["a"] }, "./mine"]
[disk]
root = "512M"
compression_level = 6
[state]
persist = ["/etc/myapp"]
var = "volatile"
[network]
hostname = "hello-1"
addresses = ["192.168.1.7/24"]
gateway = "192.168.1.1"
dns = ["192.168.1.1"]
mdns = true
[boot]
cmdline = ["a=b"]
modules = ["r8169"]
debug = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's folder in which everything that GOOD names is there."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "common.toml").write_text('[base]\npackages = ["nano"]\n')
    (folder / "mine").mkdir()
    (folder / "mine/Containerfile.part").write_text("RUN true\n")
    return folder


def loads_or_tells(folder: Path, raw: bytes) -> None:
    (folder / "ovenbird.toml").write_bytes(raw)
    found: RecipeError | None = None
    try:
        load(folder)
    except RecipeError as error:
        found = error
    if isinstance(found, RecipeProblemsError):
        assert found.problems
        rows = raw.count(b"\n") + 1
        for problem in found.problems:
            assert problem.message
            assert problem.file is not None
            assert problem.file.name != "ovenbird.toml" or problem.line is None or 1 <= problem.line <= rows
            assert f"{problem.message}{problem.hint}".isprintable()
    elif found is not None:
        assert found.message


def test_the_good_one_is_good(folder: Path) -> None:
    (folder / "ovenbird.toml").write_text(GOOD)
    assert load(folder).recipe.image.name == "hello"


_VALUES = st.sampled_from(
    [
        *(
            "1",
            "-1",
            "1.5",
            "inf",
            "nan",
            "true",
            '""',
            '"x"',
            '"\\u0000"',
            '"/"',
            '"../.."',
            '"~/"',
            '"~nobody/x"',
            '"*"',
        ),
        *(
            '"**/*"',
            '"[a"',
            "[]",
            "{}",
            "[[]]",
            "[{}]",
            '["a", 1, {}]',
            "2024-01-01",
            "07:00:00",
            "1979-05-27T07:32:00Z",
        ),
        *(
            '"./mine"',
            '"."',
            '"os"',
            '"é\\n\\t"',
            '{ use = "os" }',
            '[{ use = "./mine", x = 1 }]',
            "0x" + "f" * 30,
            '"512M"',
        ),
        *(
            '["ovenbird.toml"]',
            '"' + "x" * 5000 + '"',
            '"::1/128"',
            '["::1", "fe80::1%eth0/64"]',
            '[["x"]]',
            '"\\U0010ffff"',
        ),
    ]
)
_KEYS = st.sampled_from(["name", "x", "include", "'é'", '""', "use", "build.stages", "disk.root", "image", "a.b.c"])


@given(st.text(max_size=100))
def test_any_text(folder: Path, text: str) -> None:
    loads_or_tells(folder, text.encode(errors="surrogatepass"))


@given(st.binary(max_size=60))
def test_any_bytes(folder: Path, raw: bytes) -> None:
    loads_or_tells(folder, raw)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 12), st.text(max_size=6)), min_size=1, max_size=4)
)
@settings(max_examples=150)
def test_a_mutated_recipe(folder: Path, edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for at, cut, put in edits:
        text = text[:at] + put + text[at + cut :]
    loads_or_tells(folder, text.encode(errors="surrogatepass"))


@given(st.lists(st.tuples(st.integers(0, GOOD.count("\n") - 1), _VALUES), min_size=1, max_size=4))
@example([(0, "['ovenbird.toml']")])
@settings(max_examples=150)
def test_other_values(folder: Path, changes: list[tuple[int, str]]) -> None:
    lines: list[str] = list(GOOD.splitlines())
    for number, value in changes:
        key, equals, _ = lines[number].partition(" = ")
        if equals:
            lines[number] = f"{key} = {value}"
    loads_or_tells(folder, "\n".join(lines).encode())


@given(st.lists(st.tuples(st.integers(0, GOOD.count("\n")), _KEYS, _VALUES), min_size=1, max_size=3))
@settings(max_examples=80)
def test_other_keys(folder: Path, changes: list[tuple[int, str, str]]) -> None:
    lines: list[str] = list(GOOD.splitlines())
    for number, key, value in changes:
        lines.insert(number, f"{key} = {value}")
    loads_or_tells(folder, "\n".join(lines).encode())


_TOML_SIGNS = st.sampled_from("[]parametersx=.\"'typedefaultstringfilechoices \n#")
_KINDS = st.sampled_from(["string", "integer", "list", "file", "files", "choice", "boolean"])


@given(st.text(alphabet=_TOML_SIGNS, max_size=80), _KINDS, _VALUES, _VALUES)
@settings(max_examples=200)
def test_any_stage_toml(folder: Path, text: str, kind: str, default: str, value: str) -> None:
    stage = folder / "own"
    stage.mkdir(exist_ok=True)
    (stage / "Containerfile.part").write_text("RUN true\n")
    (stage / "stage.toml").write_text(f'[parameters.x]\ntype = "{kind}"\ndefault = {default}\n{text}')
    recipe = f'[image]\nname="a"\nversion="1"\nboard="vm"\n[build]\nstages=[{{use="./own",x={value}}}]\n'
    loads_or_tells(folder, recipe.encode())
