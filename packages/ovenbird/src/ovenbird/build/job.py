"""A build as a user asks for it: from a recipe's place to a filled output folder, and what to say of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.boards import board
from ovenbird.boards.board import Selector
from ovenbird.build.agentless import advice
from ovenbird.build.bake import Baker
from ovenbird.build.bundle import Absence
from ovenbird.build.clean import keep_within
from ovenbird.build.engine import Engine
from ovenbird.build.explain import explain
from ovenbird.build.memory import recall, remember
from ovenbird.build.outputs import is_current, publish
from ovenbird.build.plan import Plan, make_plan
from ovenbird.build.store import Store, cache_folder, limit_from_environment
from ovenbird.errors import UsageError
from ovenbird.files import locked
from ovenbird.progress import Progress
from ovenbird.recipe.load import load
from ovenbird.recipe.size import format_size
from ovenbird_device.format.manifest import Manifest
from ovenbird_device.format.netboot import FOLDER, MANIFEST


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a recipe (file or folder), the output folder (None: `out` beside the recipe).

    With `bundle`, a build that cannot write a signed bundle is an error.
    """

    recipe: Path
    out: Path | None = None
    refresh: bool = False
    bundle: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came out: the folder and its manifest, the steps that ran with their seconds, and the time of it all."""

    out: Path
    manifest: Manifest
    made: tuple[tuple[str, float], ...]
    seconds: float

    def summary(self) -> str:
        """One paragraph for people."""
        image = self.manifest.image
        head = f"{image.name} {image.version} for {image.board}: "
        if not self.made:
            head += f"nothing has changed ({self.seconds:.2f} s)"
        else:
            steps = ", ".join(f"{name} {took:.1f} s" for name, took in self.made)
            head += f"built in {self.seconds:.1f} s ({steps})"
        root = format_size(self.manifest.outputs["root.squashfs"].size)
        card = board(image.board).selector is Selector.AUTOBOOT
        then = f"write it onto a card: ovenbird flash CARD {self.out}" if card else f"boot it: ovenbird run {self.out}"
        lines = [head, f"{self.out / 'disk.img'} (root {root}); {then}"]
        lines += [f"{self.out / name} updates devices" for name in self.manifest.outputs if name.endswith(".swu")]
        if f"{FOLDER}/{MANIFEST}" in self.manifest.outputs:
            lines.append(f"{self.out / FOLDER} boots machines without a disk")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The same for scripts."""
        return msgspec.json.encode(
            {
                "out": str(self.out),
                "manifest": self.manifest,
                "made": [{"step": name, "seconds": took} for name, took in self.made],
                "seconds": round(self.seconds, 3),
            }
        ).decode()


def plan_for(request: Request, progress: Progress) -> tuple[Plan, Path]:
    """The plan for a request, and its output folder as an absolute path."""
    loaded = load(request.recipe)
    out = (request.out or loaded.folder / "out").absolute()
    with_lists = _Lazy(progress)
    return make_plan(loaded, cache_folder(), refresh=request.refresh, on_refresh=with_lists), out


class _Lazy:
    """Says once that package lists are being fetched, when they really are."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._said = False

    def __call__(self, line: str) -> None:
        if not self._said:
            self._progress.note("fetching package lists")
            self._said = True


def build(request: Request, progress: Progress) -> Result:
    """Build what is asked for. Any OvenbirdError leaves the former outputs as they were."""
    begin = time.monotonic()
    plan, out = plan_for(request, progress)
    if isinstance(plan.signing, Absence):
        if request.bundle:
            raise plan.signing.error()
        if plan.signing.wanted:
            progress.note(f"{plan.signing.reason}; {plan.signing.hint}")
    if plan.foreign is not None and plan.foreign.missing:
        rescue, card = plan.loaded.recipe.disk.rescue is not None, plan.board.selector is Selector.AUTOBOOT
        progress.note(advice(", ".join(plan.foreign.missing), rescue=rescue, card=card))
    if (manifest := is_current(out, plan)) is not None:
        return Result(out, manifest, (), time.monotonic() - begin)
    cache = cache_folder()
    store, engine = Store(cache), Engine.at(cache)
    _sweep(store, engine)
    baker = Baker(plan, store, engine, progress)
    try:
        # The store stays in use from the first step to the last copy: a clean-up must not come between.
        with store.in_use(), locked(cache / "locks" / f"out-{_place(out)}"):
            signed = () if isinstance(plan.signing, Absence) else ("bundle",)
            network = ("netboot",) if plan.netboot else ()
            baker.bake("disk", "root", "boot", "initrd", "kernel", *network, *signed)
            with progress.step("outputs"):
                kernel, epoch, packages = baker.facts()
                files, digests = baker.outputs(), baker.digests()
                manifest = publish(out, plan, files, digests, kernel=kernel, epoch=epoch, packages=packages)
    except KeyboardInterrupt:
        _sweep(store, engine)  # buildah that is told to end may leave its container mounted.
        raise
    remember(cache, plan)
    keep_within(store, engine, limit_from_environment(), spare={step.key for step in plan.steps})
    made = tuple((name, baker.records[name].took) for name in baker.made)
    return Result(out, manifest, made, time.monotonic() - begin)


def _sweep(store: Store, engine: Engine) -> None:
    """Take away what stopped builds have left half-made, unless another build is running."""
    with store.alone() as alone:
        if alone:
            store.sweep(engine.remove_folder)
            engine.sweep()


def explain_lines(request: Request, progress: Progress, *, as_json: bool) -> Iterator[str]:
    """What a build would do, a line a step, or all of it as JSON."""
    plan, _ = plan_for(request, progress)
    cache = cache_folder()
    verdicts = explain(plan, Store(cache), recall(cache, plan))
    if as_json:
        yield msgspec.json.encode(
            [{"step": v.step.name, "key": v.step.key, "kept": v.kept, "because": list(v.reasons)} for v in verdicts]
        ).decode()
        return
    width = max(len(verdict.step.name) for verdict in verdicts)
    for verdict in verdicts:
        if verdict.kept:
            yield f"{verdict.step.name:{width}}  kept"
            continue
        first, more = verdict.reasons[:4], verdict.reasons[4:]
        yield f"{verdict.step.name:{width}}  made: {'; '.join(first)}{f'; and {len(more)} more' if more else ''}"


def _place(out: Path) -> str:
    import hashlib

    return hashlib.sha256(str(out).encode()).hexdigest()[:16]


def shell(request: Request, progress: Progress, *, before: str | None, command: list[str]) -> int:
    """Run a command (or a shell) in a recipe's tree, or in the tree that a stage begins with. Returns its exit code.

    Raises UsageError for a stage that the recipe does not have.
    """
    plan, _ = plan_for(request, progress)
    name = "tree"
    if before is not None:
        chain = ["device", *(step.name for _, step in plan.stage_steps())]
        wanted = f"stage {before}"
        if wanted not in chain:
            names = ", ".join(stage.name for stage, _ in plan.stage_steps())
            raise UsageError(f"the recipe has no stage {before}", hint=f"its stages: {names}")
        name = chain[chain.index(wanted) - 1]
    cache = cache_folder()
    store, engine = Store(cache), Engine.at(cache)
    with store.in_use():  # To the end: the next build's sweep must not take the tree away below the shell.
        baker = Baker(plan, store, engine, progress)
        baker.bake(name)
        return baker.engine_of(plan.step(name)).shell(plan.step(name).key, command or ["/bin/sh"])
