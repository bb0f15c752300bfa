"""The step `twin`: the finished tree for another architecture, out of the same tree for this machine's (docs/cross.md).

The target's packages lie unpacked in the step `packages`. Which of them are wanted is told by the twin itself: stages
may have installed more, or taken some away. The graft runs where the tree's owners are (`graft.py`); a file that the
target does not run stops the build, with the stage that made it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ovenbird.base.apt import Package
from ovenbird.build import debs, elf
from ovenbird.build.cross import graft
from ovenbird.build.cross.crossing import Crossing
from ovenbird.build.cross.dpkg import Names, parse
from ovenbird.build.cross.owned import STATUS
from ovenbird.build.inputs import file_digest, text_digest
from ovenbird.build.store import Making, StepRecord
from ovenbird.errors import BuildError, RecipeError
from ovenbird.progress import Step as Shown
from ovenbird.run import Completed

if TYPE_CHECKING:
    from ovenbird.build.bake import Baker
    from ovenbird.build.plan import Step

SCRIPTS = ("preinst", "postinst", "config")
_SHOWN = 5  # How many files an error names.


def bound(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Those packages that are made for one architecture."""
    return tuple(package for package in packages if package.architecture != "all")


def unpacking() -> dict[str, str]:
    """What goes into the step `packages` beside its packages."""
    return {"maker": file_digest(Path(debs.__file__))}


def inputs(way: Crossing) -> dict[str, str]:
    """What goes into a twin's step beside its parent and packages."""
    # All of this folder: what is no part of the graft changes seldom, and a list of what is would be forgotten.
    makers = [*sorted(Path(__file__).parent.glob("*.py")), Path(elf.__file__)]
    maker = text_digest(" ".join(file_digest(file) for file in makers))
    return {"from": way.host.debian, "to": way.target.debian, "maker": maker}


def make_packages(baker: Baker, step: Step) -> StepRecord:
    """Take the target's packages apart."""

    def make(making: Making, shown: Shown) -> None:
        packages = baker.plan.packages
        wanted = bound(packages.target)
        with packages.index.archives(wanted, on_bytes=shown.advance) as archives:
            debs.unpack(wanted, archives, making.folder)

    return baker.run(step, make)


def make_twin(baker: Baker, step: Step) -> StepRecord:
    """Graft the tree of the step's parent."""
    baker.need(step.parent)
    baker.need("packages")
    plan = baker.plan
    way = plan.crossing
    parent = plan.step(step.parent)

    def make(making: Making, shown: Shown) -> None:
        file = making.folder / "job"

        def script(done: Completed | None) -> str:
            assert done is not None
            folders = _wanted(baker, step, done.stdout, making.folder / "more", shown)
            job = graft.Job(way.host.debian, way.target.debian, [str(folder) for folder in folders])
            file.write_bytes(msgspec.json.encode(job))
            return shlex.join([sys.executable, "-m", graft.__name__, str(file)])

        engine = baker.engine_of(parent)
        engine.change(
            parent.key,
            step.key,
            (lambda _: f'cat "$TREE"/{STATUS}', script),
            architecture=way.target.debian,
            on_line=lambda _: None,
            what=f"the graft for {way.target.debian}",
        )
        report = msgspec.json.decode((making.folder / "report").read_bytes(), type=graft.Report)
        if report.foreign:
            engine.remove([step.key])
            raise _disproved(baker, step, report.foreign)
        if any(other.parent == step.name and other.emulated for other in plan.steps):
            baker.engine_of(next(other for other in plan.steps if other.emulated)).take(
                engine, step.key, making.folder, way.target.debian
            )
        making.facts["epoch"] = str(baker.epoch(step.parent))
        making.size = engine.layer_size(step.key)
        baker.engine.remove_folder(making.folder / "more")
        file.unlink()

    return baker.run(step, make)


def _wanted(baker: Baker, step: Step, status: str, scratch: Path, shown: Shown) -> list[Path]:
    """The folders of the packages that the target's tree has. Raises BuildError."""
    packages, way = baker.plan.packages, baker.plan.crossing
    installed = {
        fields["Package"]
        for fields in parse(status)
        if fields.get("Architecture") == way.host.debian and fields.get("Status", "").endswith(" installed")
    }
    planned = {package.name for package in bound(packages.base)}
    there = {package.name: package for package in bound(packages.target)}
    wanted = {name: baker.folder("packages") / name for name in there.keys() - (planned - installed)}
    added = sorted(installed - planned - there.keys())
    if added:
        resolved = _resolve(baker, step, added)
        more = [package for package in bound(resolved) if package.name not in there]
        shown.line(f"{len(more)} more packages for {way.target.debian}")
        scratch.mkdir()
        with packages.index.archives(more) as archives:
            debs.unpack(more, archives, scratch)
        wanted |= {package.name: scratch / package.name for package in more}
    for name in sorted(wanted.keys() - installed):
        if any((wanted[name] / debs.CONTROL / script).exists() for script in SCRIPTS):
            raise BuildError(
                f"the package {name} is needed on {way.target.debian} alone, and has a script that must run there",
                hint=_emulate("what installs it"),
            )
    return [wanted[name] for name in sorted(wanted)]


def _resolve(baker: Baker, step: Step, added: Sequence[str]) -> tuple[Package, ...]:
    """The packages that stages have installed, for the target."""
    packages, way = baker.plan.packages, baker.plan.crossing
    try:
        return packages.index.resolve([*packages.names, *added])
    except RecipeError as error:
        known = packages.index.names()
        missing = [name for name in added if name not in known]
        if not missing:
            raise
        listed = f"/var/lib/dpkg/info/{missing[0]}"
        raise BuildError(
            f"there is no package {', '.join(missing)} for {way.target.debian}",
            where=_origin(baker, step, [f"{listed}.list", f"{listed}:{way.host.debian}.list"]),
            hint="leave it out for this board, or add a source that has it (`sources` in [base])",
        ) from error


def _disproved(baker: Baker, step: Step, found: Sequence[graft.Foreign]) -> BuildError:
    """The one error for files that the target does not run."""
    way = baker.plan.crossing
    target = way.target.debian
    first = found[0]
    before = Names(way.target, way.host).path(first.path)
    others = "".join(f"\n    {one.path} ({one.architecture})" for one in found[1:_SHOWN])
    more = f"\n    and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    also = f"; so are{others}{more}" if len(found) > 1 else ""
    return BuildError(
        f"{first.path} is for {first.architecture}, but the board's architecture is {target}{also}",
        where=_origin(baker, step, list({first.path, before})),
        hint=f"make it an [[app]] or compile it for {target}, or {_emulate('the stage')}",
    )


def _emulate(what: str) -> str:
    return f'write `emulate = true` for {what}: {{ use = "…", emulate = true }}, or in [build] for all'


def _origin(baker: Baker, step: Step, paths: Sequence[str]) -> str | None:
    """Which step made a file of a tree, as the recipe's author knows it: the first whose tree has it as it is now."""
    plan = baker.plan
    chain: list[Step] = []
    at = plan.step(step.parent)
    while True:
        chain.insert(0, at)
        if not at.parent:
            break
        at = plan.step(at.parent)
    folders = {other.name: str(stage.folder) for stage, other in plan.stage_steps()}
    script = "".join(
        f'[ ! -f "$TREE"{shlex.quote(path)} ] || sha256sum <"$TREE"{shlex.quote(path)}\n' for path in paths
    )
    last = baker.engine_of(chain[-1]).with_tree(chain[-1].key, script, what="looking for the file").stdout
    for one in chain:
        engine = baker.engine_of(one)
        if engine.exists(one.key) and engine.with_tree(one.key, script, what="looking for the file").stdout == last:
            return folders.get(one.name, f"step {one.name}")
    return None
