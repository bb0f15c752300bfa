"""The store as its users see it: what is in it, how large it is, and making it smaller."""

from __future__ import annotations

import re

import pytest

from tests.build.conftest import leftovers
from tests.tool import Project, Tool

pytestmark = pytest.mark.build


def test_list_size_and_clean_up(empty: Tool, project: Project) -> None:
    # The lists and packages are the tests' common ones: --keep-packages leaves them alone.
    made = empty.build(project.recipe)
    listed = empty.run("store", "list", "--json").json()
    assert {step["step"] for step in listed} == set(made)
    assert all(step["size"] > 0 for step in listed)
    used = [step["used"] for step in listed]
    assert used == sorted(used)
    lines = empty.run("store", "list").out.splitlines()
    assert len(lines) == len(listed)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  [0-9a-f]{32} ", line) for line in lines)

    size = empty.run("store", "size", "--json").json()
    assert size["all"] == sum(value for name, value in size.items() if name not in ("all", "limit"))
    assert 50e6 < size["trees"] < 2e9

    # Nothing goes while all is within the limit; then the longest unused go first, and a build makes them again.
    done = empty.run("store", "gc", "--limit", "100G")
    assert done.out.startswith("0 steps and 0 packages")
    done = empty.run("store", "gc", "--keep-packages", "--limit", f"{(size['all'] >> 20) - 40}M")
    assert done.code == 0, done.err
    left = empty.run("store", "list", "--json").json()
    assert 0 < len(left) < len(listed)
    assert empty.run("build", project.recipe, "--json").json()["made"] == []  # What is in its out folder is whole.
    done = empty.run("store", "gc", "--keep-packages")
    assert done.code == 0, done.err
    assert empty.run("store", "list").out == ""
    assert leftovers(empty.cache) == []
    assert "localhost/ovenbird" not in str(empty.run("store", "size", "--json").json())
    assert empty.run("store", "size", "--json").json()["trees"] == 0


def test_a_limit_that_is_no_size(tool: Tool) -> None:
    done = tool.run("store", "gc", "--limit", "much")
    assert done.code == 2
    assert "much" in done.err


def test_a_limit_of_the_environment_that_is_no_size(tool: Tool, project: Project) -> None:
    done = tool.run("build", project.recipe, env={"OVENBIRD_STORE_LIMIT": "much"})
    assert done.code == 2
    assert "OVENBIRD_STORE_LIMIT" in done.err
