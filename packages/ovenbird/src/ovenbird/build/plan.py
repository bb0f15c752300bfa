"""The plan: every step from a recipe to a disk image, with the key of all that goes into each.

Making a plan runs nothing but a look at the package lists, so an unchanged build is answered at once. A step's key
covers its parent's key, hence everything before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ovenbird.base import debian
from ovenbird.base.apt import Index, Package
from ovenbird.base.debian import SETTLE, base_packages, filters
from ovenbird.boards import Architecture, Board, board
from ovenbird.boards.board import Selector
from ovenbird.build import compiled, device, kernel, terminal, tree
from ovenbird.build.apps import step as apps
from ovenbird.build.apps.kind import Target
from ovenbird.build.bundle import Absence, bundle_inputs, plan_bundle
from ovenbird.build.compiled import Compiler
from ovenbird.build.cross import emulation, twin
from ovenbird.build.cross.crossing import Crossing, crossing
from ovenbird.build.inputs import (
    Tools,
    file_digest,
    file_inputs,
    folder_files,
    package_inputs,
    text_digest,
)
from ovenbird.build.packages import Packages, find_packages, find_sources
from ovenbird.build.store import key_of
from ovenbird.files import sha256_of
from ovenbird.image import grub, initrd, raspberry, rescue, root
from ovenbird.recipe.load import LoadedRecipe
from ovenbird.recipe.stage import Stage

if TYPE_CHECKING:
    from ovenbird.keys.signing import Signing

# A stage that installs packages by itself depends on what the package lists offer at that time.
USES_APT = re.compile(
    r"\b(apt|apt-get|aptitude)\b[^\n;&|]*"
    r"\b(install|reinstall|update|\w*upgrade|build-dep|satisfy|source|download)\b"
)
# The same of a playbook, by its modules.
PLAYS_APT = re.compile(r"^\s*-?\s*(ansible\.(builtin|legacy)\.)?(apt|package|apt_repository)\s*:", re.MULTILINE)
PACKAGE_LISTS = "package lists"  # the input that such a stage has


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

    def step(self, name: str) -> Step:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def filters(self) -> str:
        """What dpkg is told not to unpack: what the last stage would remove."""
        return filters(self.loaded.stages[-1].arguments)

    @property
    def target(self) -> Target:
        """The machine that apps are made for."""
        return target_of(self.loaded, self.board, self.packages.target)

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
    names = base_packages(
        recipe.base,
        [
            *device.PACKAGES,
            *machine.base_packages,
            *(name for stage in loaded.stages for name in stage.packages),
            *apps.packages(recipe.app),
        ],
    )
    components = tuple(dict.fromkeys((*recipe.base.components, *machine.components)))
    sources = find_sources(replace(recipe.base, components=components), cache, tools)
    rings = recipe.base.keyrings
    packages = find_packages(way, cache, sources, rings, names, refresh=refresh, on_refresh=on_refresh)
    compiler = compiled.plan_compiler(way, packages, cache, device.python_version(packages.target), refresh=refresh)
    kernels = kernel.kernel_packages(machine, packages.index)
    signing = plan_bundle(recipe)
    steps = _steps(loaded, machine, way, packages, kernels, compiler, tools, signing)
    return Plan(loaded, machine, way, packages, kernels, compiler, tuple(steps), signing)


def _steps(
    loaded: LoadedRecipe,
    machine: Board,
    way: Crossing,
    packages: Packages,
    kernels: tuple[Package, ...],
    compiler: Compiler | None,
    tools: Tools,
    signing: Signing | Absence,
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

    kernel_step = add("kernel", "kernel", {**package_inputs(kernels), **tools.inputs("depmod")})
    base = grow(
        "base",
        "base",
        None,
        {
            "release": recipe.base.release,
            "architecture": way.base.debian,
            "sources": text_digest("\n".join(packages.index.sources)),
            **package_inputs(packages.base),
            "settle_pyc": file_digest(SETTLE),
            "maker": sha256_of(Path(debian.__file__))[:24],
            "filters": " ".join(filters(loaded.stages[-1].arguments).split()),
            **{f"preseed {file.name}": file_digest(file) for file in recipe.base.preseed},
            **tools.inputs("mmdebstrap"),
        },
    )
    if way.twin:
        of_target = add("packages", "packages", {**package_inputs(twin.bound(packages.target)), **twin.unpacking()})
    made_of = compiled.libraries_inputs(compiler, device.locked_requirements())
    libraries = {name: add("library", name, inputs).key for name, inputs in made_of.items()}
    parent = device_step = grow(
        "device",
        "device",
        base,
        {
            "base": base.key,
            "kernel": kernel_step.key,
            "instructions": text_digest(device.CONTAINERFILE),
            **file_inputs(device.device_files()),
            **libraries,
            **tools.inputs("buildah"),
        },
    )
    for number, (name, stage) in enumerate(zip(_stage_names(loaded.stages), loaded.stages, strict=True)):
        if way.twin and way.emulates(number) and not way.emulates(number - 1):
            parent = cross("twin", parent)
        index = packages.of(way.stage(number))
        parent = grow("stage", name, parent, _stage_inputs(stage, parent, index, tools), number)
    target = target_of(loaded, machine, packages.target)
    made: dict[str, str] = {}
    for app in recipe.app:
        inputs = {**apps.app_inputs(app, target), **tools.inputs(*apps.KINDS[app.kind].tools(app))}
        made[apps.step_name(app)] = add("app", apps.step_name(app), inputs).key
    files = tree.tree_files(recipe, machine, digest=loaded.digest)
    own_files = {**files, **apps.app_files(recipe, target), **terminal.terminal_files(recipe)}
    run = apps.instructions(recipe) + terminal.instructions(recipe)
    last = len(loaded.stages)
    tree_step = grow("tree", "tree", parent, {**_tree_inputs(parent, own_files, run), **made}, last)
    if way.twin and not way.emulates(last):
        tree_step = cross("twin", tree_step)
    initrd_step = add(
        "initrd",
        "initrd",
        {
            "kernel": kernel_step.key,
            "modules": " ".join(initrd_modules(loaded, machine)),
            "init": file_digest(initrd.INIT),
            "maker": sha256_of(Path(initrd.__file__))[:24],
        },
    )
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
            **(_card_inputs(loaded, machine, tools) if machine.models else {}),
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
            **_selector_inputs(loaded, machine, tools),
            **tools.inputs("mkfs.vfat", "mcopy", "mke2fs"),
        },
    )
    if not isinstance(signing, Absence):
        parents = {"boot": boot_step.key, "root": root_step.key}
        add("bundle", "bundle", bundle_inputs(recipe, machine, signing, parents))
    return steps


def _selector_inputs(loaded: LoadedRecipe, machine: Board, tools: Tools) -> dict[str, str]:
    """What the selector of a disk is made of, beside what the kernel's step has."""
    if machine.selector is Selector.AUTOBOOT:
        return {
            "selector": machine.selector,
            "maker": sha256_of(Path(raspberry.__file__))[:24],
            **file_inputs(raspberry.eeprom_inputs(loaded.recipe.pi)),
        }
    return {"grub.cfg": text_digest(grub.grub_config().decode()), **tools.inputs("grub-mkimage")}


def _card_inputs(loaded: LoadedRecipe, machine: Board, tools: Tools) -> dict[str, str]:
    """What a Pi's boot partition has beside kernel, initrd and firmware."""
    pi = loaded.recipe.pi
    return {
        "config.txt": text_digest(raspberry.config(machine, pi)),
        "maker": sha256_of(Path(raspberry.__file__))[:24],
        **file_inputs(raspberry.overlay_inputs(pi)),
        **tools.inputs("dtc"),
    }


def target_of(loaded: LoadedRecipe, machine: Board, packages: Sequence[Package]) -> Target:
    """The machine that apps are made for: its Python is the one among the packages of its base."""
    return Target(machine.architecture, loaded.recipe.base.release, device.python_version(packages))


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


def _stage_inputs(stage: Stage, parent: Step, index: Index, tools: Tools) -> dict[str, str]:
    files = {**stage_files(stage), **stage.files}
    texts = [stage.containerfile, *(_text(path) for path in files.values())]
    inputs = {
        "parent": parent.key,
        "instructions": text_digest(stage.containerfile),
        **{f"parameter {name}": value for name, value in stage.arguments.items()},
        **file_inputs(files),
        **tools.inputs("buildah"),
    }
    uses_apt = PLAYS_APT if stage.by == "ansible" else USES_APT
    if any(uses_apt.search(text) for text in texts):
        inputs[PACKAGE_LISTS] = index.digest()[:24]
    return inputs


def stage_files(stage: Stage) -> dict[str, Path]:
    """What of a stage's folder goes into its context: everything but what describes the stage."""
    described = {"Containerfile.part", "stage.toml", "README.md"}
    return {name: path for name, path in folder_files(stage.folder).items() if name not in described}


def _text(path: Path) -> str:
    """The beginning of a file, where it is text."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(1 << 16).decode("utf-8", "ignore")


def initrd_modules(loaded: LoadedRecipe, machine: Board) -> tuple[str, ...]:
    """The kernel modules that the initrd is asked to carry."""
    more = rescue.MODULES if loaded.recipe.disk.rescue is not None else ()
    return (*machine.initrd_modules, *more, *loaded.recipe.boot.modules)


def kernel_arguments(loaded: LoadedRecipe, machine: Board) -> tuple[str, ...]:
    """The kernel's arguments that do not depend on the slot or on the root's content.

    `gpt` lets the kernel take the backup of a partition table whose first copy was torn by a power cut
    (kernel-parameters.txt); `panic` restarts a machine whose kernel gives up, so that the selector can decide again.
    `systemd.ssh_auto=no` (systemd-ssh-generator(8)): SSH listens where a stage says; by itself systemd 256 and newer
    offers it to the host of a virtual machine too, past that stage, and complains at each boot where it cannot.
    """
    boot = loaded.recipe.boot
    debug = ("ovenbird.debug",) if boot.debug else ()
    # On a card that held a GPT before, `gpt` would find that one's backup and take it for ours.
    table = ("gpt",) if machine.selector is Selector.GRUB else ()
    return (*machine.console, *table, "panic=10", "quiet", "systemd.ssh_auto=no", *debug, *boot.cmdline)
