"""Stages: parameters become the texts of `ARG`s and files of the context; what is wrong is told in its own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.recipe.load import load
from ovenbird.recipe.stage import STOCK, Stage, stock_names

from .conftest import IMAGE, Write, Wrong

ALL_TYPES = """\
description = "Everything"
packages = ["htop", "git"]
[parameters.text]
type = "string"
default = "a b"
[parameters.number]
type = "integer"
default = 7
minimum = 0
maximum = 10
[parameters.switch]
type = "boolean"
default = true
[parameters.words]
type = "list"
default = ["x", 2]
pattern = "[a-z0-9]+"
[parameters.colour]
type = "choice"
choices = ["red", "green"]
default = "green"
[parameters.logo]
type = "file"
[parameters.keys]
type = "files"
default = "own/*.key"
"""


@pytest.fixture
def stage(write: Write) -> Path:
    """A stage with every type of parameter, in ./mine."""
    write(ALL_TYPES, "mine/stage.toml")
    write("# comment\nARG text\nRUN true\n", "mine/Containerfile.part")
    return Path("mine")


def use(write: Write, given_: str = "") -> Stage:
    return load(write(f'{IMAGE}[build]\nstages = [{{ use = "./mine"{given_} }}]\n')).stages[0]


def test_defaults(write: Write, stage: Path) -> None:
    found = use(write)
    assert found.name == "mine"
    assert found.folder == Path.cwd() / stage
    assert found.containerfile == "# comment\nARG text\nRUN true\n"
    assert found.description == "Everything"
    assert found.packages == ("htop", "git")
    assert found.files == {}
    assert found.arguments == {
        "text": "a b",
        "number": "7",
        "switch": "true",
        "words": "x 2",
        "colour": "green",
        "logo": "",
        "keys": "",
    }


def test_given(write: Write, stage: Path) -> None:
    logo, one, two = write("", "art/logo.png"), write("", "keys/one.pub"), write("", "keys/two.pub")
    (Path.cwd() / "keys/folder.pub").mkdir()
    given_ = (
        ', text = "", number = 0, switch = false, words = [], colour = "red", logo = "art/logo.png", '
        'keys = ["keys/*.pub", "keys/one.pub"]'
    )
    found = use(write, given_)
    assert found.arguments == {
        "text": "",
        "number": "0",
        "switch": "false",
        "words": "",
        "colour": "red",
        "logo": "parameters/logo/logo.png",
        "keys": "parameters/keys",
    }
    assert found.files == {
        "parameters/logo/logo.png": logo,
        "parameters/keys/one.pub": one,
        "parameters/keys/two.pub": two,
    }


def test_emulation_is_no_parameter(write: Write, stage: Path) -> None:
    assert not use(write).emulate
    found = use(write, ", emulate = true")
    assert found.emulate
    assert "emulate" not in found.arguments
    write("emulate = true\n" + ALL_TYPES, "mine/stage.toml")
    assert use(write).emulate


def test_default_files_are_the_stage_s_own(write: Write, stage: Path) -> None:
    key = write("", "mine/own/a.key")
    found = use(write)
    assert found.arguments["keys"] == "parameters/keys"
    assert found.files == {"parameters/keys/a.key": key}


def test_home_and_absolute_paths(write: Write, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write("", "home/me/.ssh/id.pub").parent.parent
    monkeypatch.setenv("HOME", str(home))
    assert list(use(write, ', keys = "~/.ssh/*.pub"').files) == ["parameters/keys/id.pub"]
    assert list(use(write, f', logo = "{home}/.ssh/id.pub"').files) == ["parameters/logo/id.pub"]


@pytest.mark.parametrize(
    ("given_", "message", "hint"),
    [
        ("number = 11", "`number` is 11, but must be at most 10", None),
        ("number = -1", "`number` is -1, but must be at least 0", None),
        ("number = 1.5", "`number` is a number, but must be a whole number", None),
        ("number = true", "`number` is a boolean", None),
        ("text = 7", "`text` is a whole number, but must be a text", 'write "7" in quotes'),
        ("switch = 'on'", "must be true or false", "write true, without quotes"),
        ("words = 'x'", "`words` is a text, but must be a list", 'write ["x"]'),
        ("words = ['a b']", '"a b" cannot be in a list of words', None),
        ("words = ['']", "is empty or has blanks", None),
        ("words = ['A']", '`words` cannot be "A"', None),
        ("words = [[]]", "`words` is a list, but must be a text", None),
        ("colour = 'rad'", '`colour` cannot be "rad"', "did you mean `red`?"),
        ("colour = 'blue'", '`colour` cannot be "blue"', "possible are green, red"),
        ("logo = 'no.png'", 'there is no file "no.png"', None),
        ("logo = 'mine'", "is a folder, but must be a file", None),
        ("logo = ['x']", "`logo` is a list, but must be a text", None),
        ("keys = '*.nothing'", 'no file matches "*.nothing"', None),
        ("keys = 'no.pub'", 'there is no file "no.pub"', None),
        ("keys = 7", "`keys` is a whole number", None),
        ("keys = ['mine/stage.toml', 'other/stage.toml']", "have the same name", None),
        ("emulate = 'yes'", "`emulate` is a text, but must be true or false", None),
        ("colur = 'red'", "stage `mine` has no parameter `colur`", "did you mean `colour`?"),
    ],
)
def test_wrong_values(write: Write, wrong: Wrong, stage: Path, given_: str, message: str, hint: str | None) -> None:
    write("", "other/stage.toml")
    [problem] = wrong(f'{IMAGE}[build]\nstages = [\n  {{ use = "./mine", {given_} }},\n]\n')
    assert message in problem.message
    assert problem.where == "ovenbird.toml:7"
    assert hint is None or problem.hint == hint


@pytest.mark.parametrize(
    ("toml", "line", "message"),
    [
        ("descripton = 'x'", 1, "unknown key `descripton`"),
        ("packages = ['a b']", 1, "no package name"),
        ("[parameters.x]\ntype = 'text'", 2, '`parameters.x.type` cannot be "text"'),
        ("[parameters.x]\nhelp = 'text'", 1, "`type` is missing in [parameters.x]"),
        ("[parameters.x]\ntype = 'string'\nreqired = true", 3, "unknown key `reqired`"),
        ("[parameters]\nx = 'string'", 2, "`parameters.x` is a text, but must be a table"),
        ("parameters = []", 1, "`parameters` is a list, but must be a table"),
        ("[parameters.Big]\ntype = 'string'", 1, "`Big` cannot be a parameter's name"),
        ("[parameters.use]\ntype = 'string'", 1, "`use` cannot be a parameter's name"),
        ("[parameters.x]\ntype = 'choice'", 1, "is a choice without `choices`"),
        ("[parameters.x]\ntype = 'choice'\nchoices = ['a1']", 1, "needs a default"),
        ("[parameters.x]\ntype = 'choice'\nchoices = ['a1']\ndefault = 'b'", 4, '`x` cannot be "b"'),
        ("[parameters.x]\ntype = 'string'\nchoices = ['a1']", 1, "has choices but is of type string"),
        ("[parameters.x]\ntype = 'integer'\ndefault = 'b'", 3, "`x` is a text, but must be a whole number"),
        ("[parameters.x]\ntype = 'string'\nminimum = 1", 1, "has limits but is of type string"),
        ("[parameters.x]\ntype = 'integer'\npattern = 'x'", 1, "has a pattern but is of type integer"),
        ("[parameters.x]\ntype = 'string'\npattern = '('", 1, "its pattern is no regular expression"),
        ("[parameters.x]\ntype = 'file'\ndefault = 'none'", 3, 'there is no file "none"'),
        ("x = ", 1, "not TOML"),
    ],
)
def test_a_wrong_stage_toml(write: Write, wrong: Wrong, toml: str, line: int, message: str) -> None:
    write("RUN true", "mine/Containerfile.part")
    write(toml, "mine/stage.toml")
    [problem] = wrong(IMAGE + "[build]\nstages = ['./mine']\n")
    assert message in problem.message
    assert problem.where == f"mine/stage.toml:{line}"


def test_required_with_default(write: Write, wrong: Wrong) -> None:
    write("RUN true", "mine/Containerfile.part")
    write("[parameters.x]\ntype = 'string'\nrequired = true\ndefault = 'x'", "mine/stage.toml")
    [problem] = wrong(IMAGE + "[build]\nstages = [{ use = './mine', x = 'y' }]\n")
    assert "its default never holds" in problem.message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"mine/x": ""}, '"./mine" is no stage: it has no Containerfile.part'),
        ({"mine/Containerfile.part": b"\xff"}, "this is not UTF-8 text"),
        ({"mine/Containerfile.part": "\n# x\nFROM debian\n"}, "a stage goes on where the one before it ended"),
    ],
)
def test_what_is_no_stage(write: Write, wrong: Wrong, files: dict[str, str | bytes], message: str) -> None:
    for name, text in files.items():
        write(text, name)
    [problem] = wrong(IMAGE + "[build]\nstages = ['./mine']\n")
    assert problem.message == message


def test_a_folder_that_cannot_be_a_name(write: Write, wrong: Wrong) -> None:
    write("RUN true", "my stage/Containerfile.part")
    [problem] = wrong(IMAGE + "[build]\nstages = ['./my stage']\n")
    assert 'the folder "my stage" cannot be a stage' in problem.message


def test_a_stage_may_be_used_twice(write: Write) -> None:
    text = "[build]\nstages = [{ use = 'users', name = 'anna' }, { use = 'users', name = 'ben' }]\n"
    stages = load(write(IMAGE + text)).stages
    assert [stage.arguments.get("name") for stage in stages[:2]] == ["anna", "ben"]


def test_stock_stages_are_found() -> None:
    assert {"os", "ssh", "watchdog", "users", "volatile", "cleanup"} <= set(stock_names())
    assert stock_names(STOCK / "nowhere") == []


@given(st.text(max_size=20).filter(lambda text: "/" not in text and "\0" not in text))
def test_any_text_of_a_string_parameter_arrives_unchanged(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "unchanged"
    (folder / "mine").mkdir(parents=True, exist_ok=True)
    (folder / "mine/Containerfile.part").write_text("RUN true\n")
    (folder / "mine/stage.toml").write_text('[parameters.text]\ntype = "string"\n')
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    (folder / "ovenbird.toml").write_text(f'{IMAGE}[build]\nstages = [{{ use = "./mine", text = "{escaped}" }}]\n')
    assert load(folder).stages[0].arguments["text"] == text
