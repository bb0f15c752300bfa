"""The plan: every step from a recipe to a disk image, with the key of all that goes into each.

Making a plan runs nothing but a look at the package lists, so an unchanged build is answered at once. A step's key
covers its parent's key, hence everything before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ovenbird.base import debian
from ovenbird.base.apt import Package
from ovenbird.base.debian import SETTLE, START, base_packages, filters
from ovenbird.boards import Architecture, Board, board
from ovenbird.build import agentless, compiled, device, foreign, kernel, terminal, tree
from ovenbird.build.apps import step as apps
from ovenbird.build.apps.kind import Target
from ovenbird.build.boot_inputs import card_inputs, initrd_modules, kernel_arguments, netboot_modules, selector_inputs
from ovenbird.build.bundle import Absence, bundle_inputs, plan_bundle
from ovenbird.build.compiled import Compiler
from ovenbird.build.cross import emulation, twin
from ovenbird.build.cross.crossing import Crossing, crossing
from ovenbird.build.foreign import Foreign, plan_foreign
from ovenbird.build.inputs import (
    Tools,
    file_digest,
    file_inputs,
    package_inputs,
    text_digest,
)
from ovenbird.build.packages import Packages, find_packages, find_sources
from ovenbird.build.stage_inputs import PACKAGE_LISTS, stage_inputs
from ovenbird.build.store import key_of
from ovenbird.files import sha256_of
from ovenbird.image import initrd, netboot, rescue, root
from ovenbird.recipe.load import LoadedRecipe
from ovenbird.recipe.stage import Stage

if TYPE_CHECKING:
    from ovenbird.keys.signing import Signing


@dataclass(frozen=True)
class Step:
    """One step: its kind ("stage"), its name ("stage ssh"), and all that goes into it by name.

    A step of the tree has its `parent`, the name of the step that it builds on, the `architecture` that it is made for,
    and whether that is `emulated`.
    """

    kind: str
    name: str
    inputs: Mapping[str, str]
    parent: str = ""
    architecture: Architecture | None = None
    emulated: bool = False

    @cached_property
    def key(self) -> str:
        """The digest over kind and inputs."""
        return key_of(self.kind, self.inputs)


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of one recipe, in the order in which they build on each other."""

    loaded: LoadedRecipe
    board: Board
    crossing: Crossing
    packages: Packages
    kernel_packages: tuple[Package, ...]
    compiler: Compiler | None
    """What compiles the agent's libraries, for an architecture that nobody does it for."""
    steps: tuple[Step, ...]
    signing: Signing | Absence
    """Who signs the bundle, or why there is none."""
    foreign: Foreign | None = None
    """What the tree starts from, where that is not Debian."""

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def filters(self) -> str:
        """What dpkg is told not to unpack: what the last stage would remove."""
        return filters(_cleanup(self.loaded))

    @property
    def target(self) -> Target:
        """The machine that apps are made for."""
        return target_of(self.loaded, self.board, self.packages.target, self.foreign)

    @property
    def netboot(self) -> bool:
        """Whether machines can boot it from the network."""
        return any(step.name == "netboot" for step in self.steps)

    @property
    def finished(self) -> str:
        """The step with the finished tree."""
        return "twin" if any(step.parent == "tree" for step in self.steps) else "tree"

    @property
    def finished_rescue(self) -> str:
        """The same of rescue."""
        return "rescue twin" if any(step.name == "rescue twin" for step in self.steps) else "rescue tree"

    def stage_steps(self) -> list[tuple[Stage, Step]]:
        """Each stage of the recipe with its step."""
        return list(zip(self.loaded.stages, (step for step in self.steps if step.kind == "stage"), strict=True))


def make_plan(
    loaded: LoadedRecipe,
    cache: Path,
    *,
    refresh: bool = False,
    on_refresh: Callable[[str], None] | None = None,
) -> Plan:
    """Look at everything that goes into an image. Raises RecipeError, HostError, NetworkError."""
    recipe = loaded.recipe
    machine = board(recipe.image.board)
    way = crossing(loaded, machine)
    tools = Tools(cache / "tools.json")
    start = plan_foreign(loaded, machine.cpu, cache, refresh=refresh)
    names = base_packages(
        recipe.base,
        [
            *device.PACKAGES,
            *machine.base_packages,
            *(name for stage in loaded.stages for name in stage.packages),
            *apps.packages(recipe.app),
        ],
    )
    if start is not None:  # Debian's are those of rescue, or none.
        alone = start.missing and recipe.disk.rescue is not None
        names = [*START, *sorted({*device.PACKAGES, *machine.base_packages})] if alone else []
    components = tuple(dict.fromkeys((*recipe.base.components, *machine.components)))
    sources = find_sources(replace(recipe.base, components=components), cache, tools)
    rings = recipe.base.keyrings
    packages = find_packages(way, cache, sources, rings, names, refresh=refresh, on_refresh=on_refresh)
    compiler = None
    if start is None or not start.missing or names:
        python = start.python if start is not None and not start.missing else device.python_version(packages.target)
        compiler = compiled.plan_compiler(way, packages, cache, python, refresh=refresh)
    kernels = kernel.kernel_packages(machine, packages.index, own=recipe.base.kernel == "tarball")
    signing = plan_bundle(recipe)
    steps = _steps(loaded, machine, way, packages, kernels, compiler, tools, signing, start)
    return Plan(loaded, machine, way, packages, kernels, compiler, tuple(steps), signing, start)


def _steps(
    loaded: LoadedRecipe,
    machine: Board,
    way: Crossing,
    packages: Packages,
    kernels: tuple[Package, ...],
    compiler: Compiler | None,
    tools: Tools,
    signing: Signing | Absence,
    start: Foreign | None = None,
) -> list[Step]:
    recipe = loaded.recipe
    steps: list[Step] = []

    def add(kind: str, name: str, inputs: Mapping[str, str]) -> Step:
        step = Step(kind, name, inputs)
        steps.append(step)
        return step

    def grow(kind: str, name: str, parent: Step | None, inputs: Mapping[str, str], stage: int = -1) -> Step:
        emulated = way.emulates(stage)
        emulator = tools.inputs(emulation.program(way.target)) if emulated else {}
        made_for = way.stage(stage) if stage >= 0 else way.base
        step = Step(kind, name, {**inputs, **emulator}, parent.name if parent else "", made_for, emulated)
        steps.append(step)
        return step

    def cross(name: str, parent: Step) -> Step:
        lists = (
            {PACKAGE_LISTS: packages.index.digest()[:24]} if any(PACKAGE_LISTS in step.inputs for step in steps) else {}
        )
        inputs = {"parent": parent.key, "packages": of_target.key, **lists, **twin.inputs(way)}
        step = Step("twin", name, inputs, parent.name, way.target)
        steps.append(step)
        return step

    def debian_base(name: str) -> Step:
        return grow("base", name, None, _debian_inputs(loaded, way, packages, tools))

    def with_agent(name: str, base: Step, kernel: Step) -> Step:
        inputs = {
            "base": base.key,
            "kernel": kernel.key,
            "instructions": text_digest(device.CONTAINERFILE),
            **file_inputs(device.device_files()),
            **libraries,
            **tools.inputs("buildah"),
        }
        return grow("device", name, base, inputs)

    bare = start is not None and bool(start.missing)
    kernel_inputs = {**package_inputs(kernels), **tools.inputs("depmod")}
    kernel_step = None if recipe.base.kernel == "tarball" else add("kernel", "kernel", kernel_inputs)
    if start is None:
        base = debian_base("base")
    else:
        base = grow("tarball", "base", None, foreign.base_inputs(start))
        if start.pacman is not None:
            inputs = {"parent": base.key, **foreign.pacman_inputs(start), **tools.inputs("buildah")}
            base = grow("pacman", "packages", base, inputs)
    if kernel_step is None:
        kernel_step = Step("own-kernel", "kernel", {"root": base.key, **kernel_inputs}, base.name)
        steps.append(kernel_step)
    if way.twin:
        of_target = add("packages", "packages", {**package_inputs(twin.bound(packages.target)), **twin.unpacking()})
    made_of = compiled.libraries_inputs(compiler, device.locked_requirements())
    libraries = {name: add("library", name, inputs).key for name, inputs in made_of.items()}
    if start is not None and bare:
        inputs = {"base": base.key, "kernel": kernel_step.key, "modules": start.modules}
        parent = device_step = grow("bare-device", "device", base, {**inputs, **tools.inputs("buildah")})
        if recipe.disk.rescue is not None:
            device_step = with_agent("rescue device", debian_base("rescue base"), kernel_step)
    else:
        parent = device_step = with_agent("device", base, kernel_step)
    for number, (name, stage) in enumerate(zip(_stage_names(loaded.stages), loaded.stages, strict=True)):
        if way.twin and way.emulates(number) and not way.emulates(number - 1):
            parent = cross("twin", parent)
        index = packages.of(way.stage(number))
        parent = grow("stage", name, parent, stage_inputs(stage, parent.key, index, tools, start), number)
    target = Target(machine.architecture, "", "") if bare else target_of(loaded, machine, packages.target, start)
    made: dict[str, str] = {}
    for app in recipe.app:
        inputs = {**apps.app_inputs(app, target), **tools.inputs(*apps.KINDS[app.kind].tools(app))}
        made[apps.step_name(app)] = add("app", apps.step_name(app), inputs).key
    files = tree.tree_files(recipe, machine, digest=loaded.digest)
    own_files = {**files, **apps.app_files(recipe, target), **terminal.terminal_files(recipe)}
    run = apps.instructions(recipe) + terminal.instructions(recipe)
    last = len(loaded.stages)
    if start is not None and bare:
        own_files = agentless.tree_files(recipe, machine, digest=loaded.digest, missing=", ".join(start.missing))
        tree_step = grow("bare-tree", "tree", parent, _tree_inputs(parent, own_files), last)
    else:
        tree_step = grow("tree", "tree", parent, {**_tree_inputs(parent, own_files, run), **made}, last)
    if way.twin and not way.emulates(last):
        tree_step = cross("twin", tree_step)
    made_by = (initrd.INIT, initrd.NETWORK, initrd.DHCP, initrd.AGENTLESS)
    initrd_inputs = {
        "kernel": kernel_step.key,
        "init": text_digest("".join(file_digest(file) for file in made_by)),
        "maker": sha256_of(Path(initrd.__file__))[:24],
    }
    initrd_step = add("initrd", "initrd", {**initrd_inputs, "modules": " ".join(initrd_modules(loaded, machine))})
    root_step = add(
        "root",
        "root",
        {
            "tree": tree_step.key,
            "compression": f"{recipe.disk.compression_level} {root.BLOCK}",
            "left out": " ".join(root.LEFT_OUT),
            **tools.inputs("mksquashfs"),
        },
    )
    boot_step = add(
        "boot",
        "boot",
        {
            "kernel": kernel_step.key,
            "initrd": initrd_step.key,
            "root": root_step.key,
            "size": str(recipe.disk.boot),
            "cmdline": " ".join(kernel_arguments(loaded, machine)),
            **tools.inputs("mkfs.vfat", "mcopy"),
            **(card_inputs(loaded, machine, tools) if machine.models else {}),
        },
    )
    if recipe.boot.netboot and netboot.makes_sense(machine):
        modules = " ".join(netboot_modules(loaded, machine))
        small = add("netboot-initrd", "netboot initrd", {**initrd_inputs, "modules": modules})
        add(
            "netboot",
            "netboot",
            {
                "kernel": kernel_step.key,
                "initrd": small.key,
                "root": root_step.key,
                "name": f"{recipe.image.name} {recipe.image.version}",
                "cmdline": netboot.command_line(kernel_arguments(loaded, machine), "", 0),
            },
        )
    beside: dict[str, str] = {}
    if recipe.disk.rescue is not None:
        rescue_tree = grow("rescue-tree", "rescue tree", device_step, _tree_inputs(device_step, files))
        if way.twin:
            rescue_tree = cross("rescue twin", rescue_tree)
        rescue_inputs = {
            "tree": rescue_tree.key,
            "kernel": kernel_step.key,
            "initrd": initrd_step.key,
            "size": str(recipe.disk.rescue),
            "compression": f"{recipe.disk.compression_level} {root.BLOCK}",
            "left out": " ".join((*root.LEFT_OUT, *rescue.LEFT_OUT)),
            "cmdline": " ".join((*kernel_arguments(loaded, machine), *rescue.WORDS)),
            **tools.inputs("mkfs.vfat", "mcopy", "mksquashfs"),
        }
        beside["rescue"] = add("rescue", "rescue", rescue_inputs).key
    add(
        "disk",
        "disk",
        {
            **beside,
            "boot": boot_step.key,
            "root": root_step.key,
            "sizes": f"boot {recipe.disk.boot} root {recipe.disk.root} data {recipe.disk.data}",
            "name": f"{recipe.image.name} {recipe.image.version}",
            **selector_inputs(loaded, machine, tools),
            **tools.inputs("mkfs.vfat", "mcopy", "mke2fs"),
        },
    )
    if not isinstance(signing, Absence):
        parents = {"boot": boot_step.key, "root": root_step.key}
        add("bundle", "bundle", bundle_inputs(recipe, machine, signing, parents))
    return steps


def target_of(
    loaded: LoadedRecipe, machine: Board, packages: Sequence[Package], start: Foreign | None = None
) -> Target:
    """The machine that apps are made for: its Python is the one among the packages of its base."""
    python = device.python_version(packages) if start is None else start.python
    return Target(machine.architecture, loaded.recipe.base.release, python)


def _cleanup(loaded: LoadedRecipe) -> Mapping[str, str]:
    """The arguments of the stage `cleanup`; a root that is taken as it is has none."""
    return loaded.stages[-1].arguments if loaded.recipe.base.distribution == "debian" else {}


def _debian_inputs(loaded: LoadedRecipe, way: Crossing, packages: Packages, tools: Tools) -> dict[str, str]:
    base = loaded.recipe.base
    return {
        "release": base.release,
        "architecture": way.base.debian,
        "sources": text_digest("\n".join(packages.index.sources)),
        **package_inputs(packages.base),
        "settle_pyc": file_digest(SETTLE),
        "maker": sha256_of(Path(debian.__file__))[:24],
        "filters": " ".join(filters(_cleanup(loaded)).split()),
        **{f"preseed {file.name}": file_digest(file) for file in base.preseed},
        **tools.inputs("mmdebstrap"),
    }


def _tree_inputs(parent: Step, files: Mapping[str, str], more: str = "") -> dict[str, str]:
    return {
        "parent": parent.key,
        "instructions": text_digest(tree.CONTAINERFILE + more),
        **{f"file {name}": text_digest(content) for name, content in files.items()},
    }


def _stage_names(stages: Sequence[Stage]) -> list[str]:
    """A name for each stage's step, its own: steps are found by name, and a stage may be used more than once."""
    uses: Counter[str] = Counter()
    names: list[str] = []
    for stage in stages:
        uses[stage.name] += 1
        names.append(f"stage {stage.name}" if uses[stage.name] == 1 else f"stage {stage.name} ({uses[stage.name]})")
    return names
