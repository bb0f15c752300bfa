"""The steps of a tree: base, device, stages, apps, and what the recipe says of this very image on top.

But for the apps, whose folders lie in the store, each of these makes an image of the engine on top of another one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ovenbird.base.debian import bake_base, newest_change
from ovenbird.build import agentless, compiled, device, foreign, terminal, tree
from ovenbird.build.apps import step as apps
from ovenbird.build.apps.kind import Workshop
from ovenbird.build.context import lay_out, settle
from ovenbird.build.cross import twin
from ovenbird.build.plan import Step
from ovenbird.build.stage_inputs import PACKAGE_LISTS, stage_files
from ovenbird.build.store import Making, StepRecord
from ovenbird.errors import BuildError
from ovenbird.progress import Step as Shown
from ovenbird.recipe.stage import Stage
from ovenbird.run import CommandError

if TYPE_CHECKING:
    from ovenbird.build.bake import Baker, Maker


def _base(baker: Baker, step: Step) -> StepRecord:
    def make(making: Making, shown: Shown) -> None:
        plan = baker.plan
        packages, index = plan.packages, plan.packages.native
        with index.archives(packages.base, on_bytes=shown.advance) as archives:
            epoch = newest_change(archives)
            archive = making.folder / "base.tar"
            base = plan.loaded.recipe.base
            scratch = making.folder / "scratch"
            scratch.mkdir()
            bake_base(
                archive,
                scratch=scratch,
                base=base,
                packages=packages.names,
                index=index,
                archives=archives,
                epoch=epoch,
                preseed=base.preseed,
                filters=plan.filters,
                inside=baker.inside if step.emulated else None,
                on_line=shown.line,
            )
        making.facts["epoch"] = str(epoch)
        making.size = archive.stat().st_size
        baker.engine.remove_folder(scratch)
        baker.engine_of(step).load(archive, step.key, index.architecture)
        archive.unlink()

    return baker.run(step, make)


def _device(baker: Baker, step: Step) -> StepRecord:
    with baker.store.scratch() as scratch:
        context = scratch / "context"
        context.mkdir()

        def prepare() -> None:
            """All that does not need the base: what the second core does while the first one unpacks packages."""
            if baker.plan.crossing.twin:
                baker.need("packages")
            for app in baker.plan.loaded.recipe.app:
                baker.need(apps.step_name(app))
            baker.need("initrd")
            libraries = compiled.LIBRARIES.get(baker.plan.board.architecture, ())
            for library in libraries:
                baker.need(compiled.step_name(library))
            device.lay_out_device(
                context,
                libraries={one.name: baker.folder(compiled.step_name(one)) for one in libraries},
                kernel=baker.kernel_files(),
                architecture=baker.plan.board.architecture,
                python=baker.plan.target.python if arch else device.python_version(baker.plan.packages.base),
            )
            if arch:  # There the package of systemd leaves it to the user.
                (context / "files/etc").mkdir()
                (context / "files/etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")

        start = baker.plan.foreign
        arch = start is not None and not start.missing
        if arch:
            baker.need(step.parent)  # Which the kernel may be taken from, and is needed first in any case.
        beside: Future[None] = baker.pool.submit(prepare)
        epoch = baker.epoch(step.parent)
        beside.result()

        def make(making: Making, shown: Shown) -> None:
            settle(context, epoch)
            _build(baker, making, step, device.CONTAINERFILE, context, {}, shown)

        return baker.run(step, make)


def _bare_device(baker: Baker, step: Step) -> StepRecord:
    start = baker.plan.foreign
    assert start is not None, "a plan with such a step has it"
    baker.need(step.parent)
    baker.need("initrd")

    def make(making: Making, shown: Shown) -> None:
        context = making.folder / "context"
        context.mkdir()
        own = baker.plan.loaded.recipe.base.kernel == "tarball"
        agentless.lay_out_device(context, None if own else baker.kernel_files(), start.modules)
        settle(context, baker.epoch(step.parent))
        _build(baker, making, step, agentless.CONTAINERFILE, context, {}, shown)

    return baker.run(step, make)


def _stage(baker: Baker, step: Step) -> StepRecord:
    stage = next(stage for stage, other in baker.plan.stage_steps() if other is step)
    parent = step.parent
    baker.need(parent)

    def make(making: Making, shown: Shown) -> None:
        context = making.folder / "context"
        context.mkdir()
        files = {**stage_files(stage), **stage.files}
        lay_out(context, files, baker.epoch(parent), architecture=baker.plan.board.architecture)
        try:
            _build(baker, making, step, stage.containerfile, context, stage.arguments, shown)
        except CommandError as error:
            if baker.plan.foreign and (told := foreign.pacman_error(error, str(stage.folder))):
                raise told from error
            raise BuildError(error.message, where=str(stage.folder), hint=_shell_hint(baker, stage)) from error

    return baker.run(step, make)


def _shell_hint(baker: Baker, stage: Stage) -> str:
    return f"look around where it began: ovenbird shell {baker.plan.loaded.path} --before {stage.name}"


def _app(baker: Baker, step: Step) -> StepRecord:
    app = next(app for app in baker.plan.loaded.recipe.app if apps.step_name(app) == step.name)

    def make(making: Making, shown: Shown) -> None:
        program = making.folder / "program"
        program.mkdir()
        with baker.store.scratch() as scratch:
            workshop = Workshop(program, scratch, baker.store.root, shown.line)
            apps.make_app(app, baker.plan.target, making.folder, workshop)

    return baker.run(step, make)


def _tree(baker: Baker, step: Step) -> StepRecord:
    recipe = baker.plan.loaded.recipe
    for app in recipe.app:
        baker.need(apps.step_name(app))
    made = {app.name: baker.folder(apps.step_name(app)) for app in recipe.app}
    files = {**apps.app_files(recipe, baker.plan.target), **terminal.terminal_files(recipe)}
    run = apps.instructions(recipe) + terminal.instructions(recipe)
    return _tree_on(baker, step, files, made, run)


def _bare_tree(baker: Baker, step: Step) -> StepRecord:
    start, loaded = baker.plan.foreign, baker.plan.loaded
    assert start is not None, "a plan with such a step has it"
    baker.need(step.parent)
    missing = ", ".join(start.missing)
    files = agentless.tree_files(loaded.recipe, baker.plan.board, digest=loaded.digest, missing=missing)

    def make(making: Making, shown: Shown) -> None:
        context = making.folder / "context"
        context.mkdir()
        tree.lay_out_tree(context, files, made={}, epoch=baker.epoch(step.parent))
        _build(baker, making, step, agentless.CONTAINERFILE, context, {}, shown)

    return baker.run(step, make)


def _rescue_tree(baker: Baker, step: Step) -> StepRecord:
    return _tree_on(baker, step, {}, {}, "")


def _tree_on(baker: Baker, step: Step, more: Mapping[str, str], made: Mapping[str, Path], run: str) -> StepRecord:
    parent = step.parent
    baker.need(parent)
    loaded = baker.plan.loaded
    files = {**tree.tree_files(loaded.recipe, baker.plan.board, digest=loaded.digest), **more}

    def make(making: Making, shown: Shown) -> None:
        context = making.folder / "context"
        context.mkdir()
        tree.lay_out_tree(context, files, made=made, epoch=baker.epoch(parent))
        try:
            _build(baker, making, step, tree.CONTAINERFILE + run, context, {}, shown)
        except CommandError as error:
            raise (apps.complaint(error) or terminal.complaint(error) or error) from error

    return baker.run(step, make)


def _build(
    baker: Baker,
    making: Making,
    step: Step,
    text: str,
    context: Path,
    arguments: Mapping[str, str],
    shown: Shown,
) -> None:
    epoch = baker.epoch(step.parent)
    making.facts["epoch"] = str(epoch)
    index = baker.plan.packages.of(step.architecture)
    engine = baker.engine_of(step)
    with ExitStack() as stack:
        start = baker.plan.foreign
        asks = PACKAGE_LISTS in step.inputs
        apt = asks and start is None
        engine.build(
            parent=baker.plan.step(step.parent).key,
            key=step.key,
            text=text,
            context=context,
            arguments={**arguments, "SOURCE_DATE_EPOCH": str(epoch), "DEBIAN_FRONTEND": "noninteractive"},
            lists=index.lists if apt else None,
            archives=stack.enter_context(index.archives(())) if apt else None,
            volumes=foreign.volumes(start, baker.store.root) if asks and start else {},
            on_line=shown.line,
            what=step.name,
        )
    shutil.rmtree(context)
    making.size = engine.layer_size(step.key)


MAKERS: dict[str, Maker] = {
    "base": _base,
    **foreign.MAKERS,
    "device": _device,
    "bare-device": _bare_device,
    "bare-tree": _bare_tree,
    "stage": _stage,
    "app": _app,
    "library": compiled.make_library,
    "tree": _tree,
    "rescue-tree": _rescue_tree,
    "packages": twin.make_packages,
    "twin": twin.make_twin,
}
IMAGE_KINDS = (
    "base", "tarball", "pacman", "device", "bare-device", "stage", "tree", "bare-tree", "rescue-tree", "twin",
)  # fmt: skip
"""The steps whose result is an image of the engine: in the store is no more than its record."""
