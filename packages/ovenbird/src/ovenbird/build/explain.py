"""Why a step is made: which of its inputs changed since the last build of the same recipe, for `--explain`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ovenbird.build.memory import Former
from ovenbird.build.plan import Plan, Step
from ovenbird.build.store import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a step is kept or made, and for a made one what changed since the last build of this recipe."""

    step: Step
    kept: bool
    reasons: tuple[str, ...]


def explain(plan: Plan, store: Store, former: Mapping[str, Former]) -> list[Verdict]:
    """For each step: is it in the store, and if not, which of its inputs changed since `former` (by step name)."""
    by_key = {step.key: step.name for step in plan.steps} | {step.key: name for name, step in former.items()}
    verdicts: list[Verdict] = []
    for step in plan.steps:
        kept = store.find(step.kind, step.key) is not None
        reasons = () if kept else tuple(_changes(step, former.get(step.name), by_key))
        verdicts.append(Verdict(step, kept, reasons))
    return verdicts


def _changes(step: Step, former: Former | None, by_key: Mapping[str, str]) -> list[str]:
    if former is None:
        return ["never made before"]
    if former.key == step.key:
        return ["no longer in the store"]
    found: list[str] = []
    for name in sorted({*step.inputs, *former.inputs}):
        old, new = former.inputs.get(name), step.inputs.get(name)
        if old == new:
            continue
        if new in by_key or old in by_key:
            found.append(f"{by_key.get(new or '', by_key.get(old or '', name))} changed")
        elif old is None:
            found.append(f"{name} is new{f' ({_brief(new)})' if name.startswith(('package', 'parameter')) else ''}")
        elif new is None:
            found.append(f"{name} is gone")
        elif name.startswith("file") or name in ("instructions", "init", "maker", "grub.cfg", "sources"):
            found.append(f"{name} changed")
        else:
            found.append(f"{name}: {_brief(old)} -> {_brief(new)}")
    return found


def _brief(value: str | None) -> str:
    words = (value or "").split()
    text = words[0] if len(words) == 2 and re.fullmatch(r"[0-9a-f]{16}", words[1]) else value or "empty"
    return text if len(text) <= 60 else text[:57] + "..."
