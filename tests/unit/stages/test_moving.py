"""What people who come from other tools are told: all of it is there, as it is written."""

from __future__ import annotations

import re
from typing import cast

import click
import typer.main
from tests.tool import ROOT

from ovenbird.cli.app import program
from ovenbird.deliver.flash import settings
from ovenbird.recipe.load import load
from ovenbird.recipe.schema import stock_stages

PAGE = ROOT / "docs/moving.md"
EXAMPLE = ROOT / "examples/cluster"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text())
    assert targets
    assert [one for one in targets if not (PAGE.parent / one).exists()] == []


def test_every_verb_and_option_is_there() -> None:
    verbs = cast("click.Group", typer.main.get_command(program([]))).commands
    for verb, rest in re.findall(r"ovenbird ([a-z]+)([^`\n|]*)", PAGE.read_text()):
        assert verb in verbs, verb
        known = {option for one in verbs[verb].params for option in one.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", rest.split("$(")[0])) <= known, (verb, rest)


def test_every_stage_that_is_named_takes_what_it_is_given() -> None:
    stages = stock_stages()
    for use in re.findall(r'\{ use = "([a-z-]+)", ([^}]*)\}', PAGE.read_text()):
        assert set(re.findall(r"(\w+) =", use[1])) <= set(stages[use[0]].parameters), use


def test_the_example_of_a_cluster_is_in_order() -> None:
    recipe = load(EXAMPLE / "ovenbird.toml").recipe
    assert recipe.image.board == "rpi"
    known = settings.read_devices(EXAMPLE / "devices.toml")
    settings.check_distinct(known, first=1)
    assert list(known) == ["node-1", "node-2", "node-3"]
