"""The stock stages are data: whole, documented, and in step with what their scripts read."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from ovenbird.recipe.load import load
from ovenbird.recipe.stage import STOCK, stock_names

STAGES = ["ansible", "cleanup", "node-exporter", "os", "ssh", "users", "volatile", "watchdog", "wifi"]
BY_CONTAINERFILE = [stage for stage in STAGES if stage != "ansible"]
"""Those that run inside of the tree; `ansible` is played from outside, by build/ansible.py."""
GIVEN_BY_THE_ENGINE = {"SOURCE_DATE_EPOCH"}
RECIPE = """
[image]
name = "test"
version = "1"
board = "vm"
[build]
stages = [
  {{ use = "os", timezone = "Europe/Vienna" }},
  {{ use = "ssh", keys = "*.pub" }},
  {{ use = "watchdog", load = [40, 30, 0], modules = ["softdog"] }},
  {{ use = "users", name = "anna", uid = 1001, groups = ["audio"], keys = "anna.pub" }},
  {{ use = "users", name = "ben" }},
  {{ use = "node-exporter", enable = ["systemd"] }},
  {{ use = "volatile", size = "10%" }},
  {cleanup}
]
"""


def scripts() -> list[Path]:
    """Every shell script of the stock stages, by its first line."""
    files = sorted(path for path in STOCK.rglob("*") if path.is_file())
    return [path for path in files if path.read_bytes().startswith(b"#!/bin/sh\n")]


def arguments(part: Path) -> set[str]:
    """The names that a Containerfile declares."""
    return set(re.findall(r"^ARG (\w+)", part.read_text(), re.MULTILINE)) - GIVEN_BY_THE_ENGINE


def parameters(stage: str) -> dict[str, object]:
    """The parameters of a stage.toml."""
    described: dict[str, dict[str, object]] = tomllib.loads((STOCK / stage / "stage.toml").read_text())
    return described.get("parameters", {})


def recipe(folder: Path, cleanup: str = "") -> Path:
    """A recipe that uses every stock stage."""
    (folder / "anna.pub").write_text("ssh-ed25519 AAAA anna\n")
    path = folder / "ovenbird.toml"
    path.write_text(RECIPE.format(cleanup=cleanup))
    return path


def test_all_are_found() -> None:
    assert stock_names() == STAGES


def test_a_recipe_can_use_them_all(tmp_path: Path) -> None:
    stages = load(recipe(tmp_path)).stages
    names = ["os", "ssh", "watchdog", "users", "users", "node-exporter", "volatile", "cleanup"]
    assert [stage.name for stage in stages] == names
    ssh, watchdog = stages[1], stages[2]
    assert ssh.arguments["keys"] == "parameters/keys"
    assert list(ssh.files) == ["parameters/keys/anna.pub"]
    assert watchdog.arguments["load"] == "40 30 0"
    assert {"openssh-server", "sudo"} <= set(ssh.packages)


def test_cleanup_takes_parameters_when_it_is_named_last(tmp_path: Path) -> None:
    path = recipe(tmp_path, '{ use = "cleanup", docs = true, locales = ["de", "pt_BR"] },')
    stages = load(path).stages
    assert [stage.name for stage in stages].count("cleanup") == 1
    assert dict(stages[-1].arguments) == {"docs": "true", "locales": "de pt_BR"}


@pytest.mark.parametrize("stage", BY_CONTAINERFILE)
def test_every_argument_is_a_parameter_and_the_reverse(stage: str) -> None:
    assert arguments(STOCK / stage / "Containerfile.part") == set(parameters(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_is_read_and_documented(stage: str) -> None:
    readme = (STOCK / stage / "README.md").read_text()
    assert readme.startswith(f"# {stage}\n")
    text = "".join(path.read_text() for path in scripts() if path.parent.name == stage)
    for name in parameters(stage):
        assert f"| `{name}` |" in readme
        assert stage == "ansible" or f"${{{name}:-" in text, f"no script of {stage} reads {name}"


@pytest.mark.parametrize("stage", STAGES)
def test_help_is_there_for_every_parameter(stage: str) -> None:
    described = tomllib.loads((STOCK / stage / "stage.toml").read_text())
    assert described["description"]
    assert all(value["help"] for value in described.get("parameters", {}).values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_part_goes_on_where_another_ended(stage: str) -> None:
    assert "FROM" not in (STOCK / stage / "Containerfile.part").read_text()


@pytest.mark.parametrize("script", scripts(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_scripts_are_sound(script: Path) -> None:
    done = subprocess.run(["shellcheck", "-s", "sh", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_never_let_an_error_pass() -> None:
    assert len(scripts()) >= len(BY_CONTAINERFILE)
    assert all("\nset -eu\n" in script.read_text() for script in scripts() if script.suffix == ".sh")
