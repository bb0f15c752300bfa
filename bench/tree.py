"""`python -m bench.tree RECIPE`: make the finished tree of a recipe and nothing after it, and say how long it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from ovenbird.build.bake import Baker
from ovenbird.build.engine import Engine
from ovenbird.build.plan import make_plan
from ovenbird.build.store import Store, cache_folder
from ovenbird.progress import QuietProgress
from ovenbird.recipe.load import load


class Told(msgspec.Struct, frozen=True):
    """The seconds of it all and of each step, and the names of the packages of the finished base."""

    seconds: float
    steps: dict[str, float]
    packages: list[str]


def main(recipe: Path) -> None:
    """Print what there is to tell, as JSON."""
    begin = time.monotonic()
    plan = make_plan(load(recipe), cache_folder())
    baker = Baker(plan, Store(cache_folder()), Engine.at(cache_folder()), QuietProgress())
    baker.bake(plan.finished)
    steps = {name: baker.records[name].took for name in baker.made}
    packages = [package.name for package in plan.packages.target]
    print(msgspec.json.encode(Told(time.monotonic() - begin, steps, packages)).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
