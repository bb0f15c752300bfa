"""The stage `ansible`: a real Ansible and real playbooks, played on a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.build import ansible
from ovenbird.build.context import lay_out
from ovenbird.errors import BuildError, OvenbirdError, RecipeError
from ovenbird.recipe.load import load
from ovenbird.recipe.stage import Stage

SITE = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.template:
        src: hello.j2
        dest: "{{ target }}/hello"
        mode: "0640"
    - name: Go into the room
      ansible.builtin.command: sh -c 'echo the door is locked >&2; exit 3'
      when: door is defined
"""
RECIPE = """\
[image]
name = "played"
version = "1.0.0"
board = "vm"
[build]
stages = [{{ use = "ansible", folder = "{folder}", playbook = "{playbook}", variables = [{variables}] }}]
"""


def project(folder: Path, playbook: str = "site.yml", *variables: str, where: str = "play") -> Stage:
    """A recipe with that stage, read as a build reads it."""
    plays = folder / "play"
    plays.mkdir(exist_ok=True)
    (plays / "site.yml").write_text(SITE)
    (plays / "templates").mkdir(exist_ok=True)
    (plays / "templates/hello.j2").write_text("hello {{ who }}\n")
    given = ", ".join(f'"{one}"' for one in (f"target={folder}", *variables))
    (folder / "ovenbird.toml").write_text(RECIPE.format(folder=where, playbook=playbook, variables=given))
    return load(folder / "ovenbird.toml").stages[0]


def play(stage: Stage, folder: Path, cache: Path) -> list[str]:
    """Play it where `env` leads to: here."""
    context = folder / "context"
    lay_out(context, stage.files, 1, architecture="amd64")
    lines: list[str] = []
    ansible.Play(stage, context, cache, "look around").run(["env"], {}, lines.append)
    return lines


def refused(stage: Stage, folder: Path, cache: Path) -> OvenbirdError:
    with pytest.raises(OvenbirdError) as caught:
        play(stage, folder, cache)
    return caught.value


def test_a_playbook_is_played(tmp_path: Path, cache: Path) -> None:
    lines = play(project(tmp_path, "site.yml", "who=you"), tmp_path, cache)
    assert (tmp_path / "hello").read_text() == "hello you\n"
    assert (tmp_path / "hello").stat().st_mode & 0o777 == 0o640
    assert lines == ["task: Say hello", "task: Go into the room"]


def test_a_task_that_fails_is_one_error(tmp_path: Path, cache: Path) -> None:
    error = refused(project(tmp_path, "site.yml", "who=you", "door=1"), tmp_path, cache)
    assert isinstance(error, BuildError)
    assert error.where == f"{tmp_path}/play/site.yml:9"
    assert 'the task "Go into the room" failed: non-zero return code' in error.message
    assert "the door is locked" in error.message
    assert error.hint == "look around"


def test_a_variable_that_nobody_gives(tmp_path: Path, cache: Path) -> None:
    error = refused(project(tmp_path), tmp_path, cache)
    assert 'the task "Say hello" failed' in error.message
    assert "'who' is undefined" in error.message


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("- hosts: all\n  tasks:\n    - copi: a\n", 3, "couldn't resolve module/action 'copi'"),
        ("- hosts: all\n  tasks:\n   - name: x\n  copy: [a\n", 5, "YAML parsing failed"),
        ("- hosts: web\n  tasks: []\n", None, "write `hosts: all`"),
    ],
)
def test_playbooks_with_mistakes(tmp_path: Path, cache: Path, text: str, line: int | None, part: str) -> None:
    project(tmp_path)
    (tmp_path / "play/other.yml").write_text(text)
    error = refused(project(tmp_path, "other.yml"), tmp_path, cache)
    assert part in error.message
    assert error.where == f"{tmp_path}/play/other.yml:{line}" if line else error.where == f"{tmp_path}/play"


def test_what_a_recipe_can_get_wrong(tmp_path: Path, cache: Path) -> None:
    assert "there is no playbook absent.yml" in refused(project(tmp_path, "absent.yml"), tmp_path, cache).message
    with pytest.raises(RecipeError, match="is no folder"):
        project(tmp_path, where="missing")
    with pytest.raises(RecipeError, match="holds the recipe itself"):
        project(tmp_path, where=".")


def test_every_file_of_the_folder_counts(tmp_path: Path) -> None:
    names = {name.removeprefix("parameters/folder/") for name in project(tmp_path).files}
    assert names == {"site.yml", "templates/hello.j2"}
