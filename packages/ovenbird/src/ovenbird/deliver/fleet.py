"""Several devices at once: each update is its own, and one that fails does not hold up the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from ovenbird.deliver import each
from ovenbird.deliver.access import Ask
from ovenbird.deliver.target import Target
from ovenbird.deliver.update import Outcome, Wishes, update
from ovenbird.errors import BuildError, ExitCode, UsageError
from ovenbird.progress import Progress


def built(recipe: Path, progress: Progress) -> Path:
    """The bundle of a recipe, built where it is not. Raises what a build raises."""
    from ovenbird.build import job

    result = job.build(job.Request(recipe, bundle=True), progress)
    names = [name for name in result.manifest.outputs if name.endswith(".swu")]
    if not names:
        raise BuildError("the build wrote no bundle")
    return result.out / names[0]


def update_all(targets: Sequence[Target], bundle: Path, wishes: Wishes, progress: Progress, ask: Ask) -> list[Outcome]:
    """Update all of them side by side. Raises UsageError for a bundle that is none, or a device named twice."""
    if not bundle.is_file():
        raise UsageError("there is no such bundle", where=str(bundle), hint="ovenbird build writes it into `out`")
    each.distinct(targets)
    polite = each.in_turn(ask)
    return each.side_by_side(targets, lambda target: update(target, bundle, wishes, progress, polite))


def report(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Lines for people: one a device, its checks and a hint below where it went wrong."""
    for outcome in outcomes:
        yield outcome.line()
        if outcome.code is not ExitCode.OK:
            for name, text in outcome.details.items():
                if text and text not in outcome.message:
                    yield f"    {name}: {text}"
        if outcome.hint:
            yield f"  help: {outcome.hint}"


def to_json(outcomes: Sequence[Outcome]) -> str:
    """The same for scripts."""
    return msgspec.json.encode([{**asdict(one), "code": int(one.code)} for one in outcomes]).decode()


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all went well; a device that could not be reached (4) outweighs one that said no (1)."""
    return each.exit_code(int(one.code) for one in outcomes)
