"""`ovenbird new`, `check` and `schema`, through the program's own entrance."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ovenbird.cli.app import main
from ovenbird.errors import UsageError
from ovenbird.recipe.load import load
from ovenbird.recipe.new import SCHEMA, new_recipe

from .conftest import IMAGE, Write

Ovenbird = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ovenbird(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ovenbird:
    """Runs the program in the test's folder; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def _ovenbird(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ovenbird", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return _ovenbird


def test_new_makes_a_recipe_that_is_right(ovenbird: Ovenbird) -> None:
    code, out, err = ovenbird("new", "devices/kiosk-1")
    assert (code, err) == (0, "")
    assert "made devices/kiosk-1/ovenbird.toml" in out
    loaded = load(Path("devices/kiosk-1"))
    assert loaded.recipe.image.name == "kiosk-1"
    assert [stage.name for stage in loaded.stages] == ["os", "ssh", "watchdog", "volatile", "greeting", "cleanup"]
    assert loaded.stages[-2].arguments == {"message": "Hello from kiosk-1"}
    files = {str(file.relative_to("devices/kiosk-1")) for file in Path("devices").rglob("*") if file.is_file()}
    assert {".gitignore", "README.md", "ovenbird.toml", "stages/greeting/Containerfile.part"} <= files
    assert "gitignore" not in files
    assert not any("@NAME@" in (Path("devices/kiosk-1") / file).read_text() for file in files)


def test_every_example_in_the_new_recipe_is_right(ovenbird: Ovenbird, write: Write) -> None:
    """Taking away the `#` of what is commented out gives a recipe that loads."""
    new_recipe(Path("hello"))
    lines: list[str] = []
    for line in Path("hello/ovenbird.toml").read_text().splitlines():
        bare = line.lstrip()
        commented = bare.startswith(("# [", "# {")) or (bare.startswith("# ") and " = " in bare and "`" not in bare)
        lines.append(bare[2:] if commented else line)
    write("ssh-ed25519 AAAA alice\n", "hello/keys/alice.pub")
    write("-----BEGIN CERTIFICATE-----\n", "hello/keys/updates.pem")
    loaded = load(write("\n".join(lines), "hello/ovenbird.toml"))
    assert loaded.recipe.network.addresses
    assert loaded.recipe.state.persist
    assert loaded.recipe.base.packages
    assert loaded.recipe.image.description
    assert "users" in [stage.name for stage in loaded.stages]
    assert loaded.recipe.update.keys


def test_new_into_an_empty_folder(ovenbird: Ovenbird) -> None:
    Path("here").mkdir()
    assert ovenbird("new", "here")[0] == 0
    assert load(Path("here")).recipe.image.name == "here"


@pytest.mark.parametrize("name", ["full", "file", "full/../full/"])
def test_new_never_overwrites(ovenbird: Ovenbird, write: Write, name: str) -> None:
    write("mine", "full/ovenbird.toml")
    write("mine", "file")
    code, out, err = ovenbird("new", name)
    assert (code, out) == (2, "")
    assert "exists already and is not empty" in err
    assert Path("full/ovenbird.toml").read_text() == "mine"
    assert Path("file").read_text() == "mine"
    assert [entry.name for entry in Path("full").iterdir()] == ["ovenbird.toml"]


@pytest.mark.parametrize(
    ("name", "hint"), [("My Device", 'write "my-device"'), ("x" * 64, None), ("a/-b-", 'write "b"')]
)
def test_new_refuses_a_bad_name(ovenbird: Ovenbird, name: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        new_recipe(Path(name))
    assert "is no name for an image" in caught.value.message
    assert hint is None or caught.value.hint == hint
    assert ovenbird("new", name)[0] == 2
    assert not Path(name).exists()


def test_new_where_it_may_not_write(ovenbird: Ovenbird, write: Write) -> None:
    write("", "file")
    code, _, err = ovenbird("new", "file/hello")
    assert code != 0
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_new_with_a_schema(ovenbird: Ovenbird) -> None:
    assert ovenbird("new", "--schema", "hello")[0] == 0
    assert Path("hello/ovenbird.toml").read_text().startswith(f"#:schema ./{SCHEMA}\n")
    schema = json.loads((Path("hello") / SCHEMA).read_text())
    assert schema == json.loads(ovenbird("schema")[1])
    load(Path("hello"))


def test_check_says_what_is_understood(ovenbird: Ovenbird, write: Write) -> None:
    write("[base]\npackages = ['htop']\n", "common.toml")
    write(
        "include = ['common.toml']\n"
        + IMAGE
        + "[build]\nstages = ['os']\n[network]\naddresses = ['10.0.0.2/24']\ngateway = '10.0.0.1'\n"
    )
    code, out, err = ovenbird("check")
    assert (code, err) == (0, "")
    lines = [line.split(None, 1) for line in out.splitlines()]
    said = {line[0]: line[1] for line in lines}
    assert said["image"] == "hello 1.0"
    assert said["board"] == "vm"
    assert said["recipe"] == "ovenbird.toml, common.toml"
    assert said["base"] == "debian trixie, 1 further package"
    assert said["network"] == "hello, 10.0.0.2/24 via 10.0.0.1"
    assert [line[1].split()[0] for line in lines if line[0] == "stage"] == ["os", "cleanup"]


def test_check_tells_all_that_is_wrong(ovenbird: Ovenbird, write: Write) -> None:
    write(IMAGE + "[disk]\nroot = '1Q'\nbot = '1G'\n", "my.toml")
    code, out, err = ovenbird("check", "my.toml")
    assert (code, out) == (2, "")
    assert "2 problems in the recipe" in err
    assert "my.toml:6: " in err
    assert "my.toml:7: unknown key `bot` in [disk] (did you mean `boot`?)" in err


def test_check_as_json(ovenbird: Ovenbird, write: Write) -> None:
    file = write(IMAGE + "[build]\nstages = ['os']\n")
    code, out, err = ovenbird("check", "--json")
    assert (code, err) == (0, "")
    said: dict[str, Any] = json.loads(out)
    assert said["ok"] is True
    assert said["path"] == str(file)
    assert said["recipe"]["image"]["name"] == "hello"
    assert said["recipe"]["disk"]["root"] == 512 << 20
    assert said["stages"][0]["arguments"]["timezone"] == "Etc/UTC"


def test_check_mistakes_as_json(ovenbird: Ovenbird, write: Write) -> None:
    file = write(IMAGE + "[disk]\nbot = '1G'\n")
    code, out, err = ovenbird("check", "--json", ".")
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "ok": False,
        "problems": [
            {
                "message": "unknown key `bot` in [disk]",
                "file": str(file),
                "line": 6,
                "hint": "did you mean `boot`?",
            }
        ],
    }
    code, out, _ = ovenbird("check", "--json", "nowhere.toml")
    assert code == 2
    assert json.loads(out)["problems"][0]["file"] is None
