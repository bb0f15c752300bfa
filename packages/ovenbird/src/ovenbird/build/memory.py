"""What the last build of a recipe was made of, so that the next one can say what changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ovenbird.build.plan import Plan
from ovenbird.files import write_atomically


class Former(msgspec.Struct, frozen=True):
    """A step as the last build of the same recipe had it."""

    kind: str
    key: str
    inputs: dict[str, str]


def remember(cache: Path, plan: Plan) -> None:
    """Keep the inputs of all steps of this recipe."""
    steps = {step.name: Former(step.kind, step.key, dict(step.inputs)) for step in plan.steps}
    write_atomically(_file(cache, plan), msgspec.json.encode(steps))


def recall(cache: Path, plan: Plan) -> dict[str, Former]:
    """The steps of this recipe's last build by name; empty where there was none."""
    try:
        return msgspec.json.decode(_file(cache, plan).read_bytes(), type=dict[str, Former])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _file(cache: Path, plan: Plan) -> Path:
    name = hashlib.sha256(str(plan.loaded.path).encode()).hexdigest()[:24]
    return cache / "recipes" / f"{name}.json"
