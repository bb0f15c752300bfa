"""The plan: every step from a recipe to a disk image, with the key of all that goes into each.

Making a plan runs nothing but a look at the package lists, so an unchanged build is answered at once. A step's key
covers its parent's key, hence everything before it; the newest changed input of a step is what `--explain` names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ovenbird.base import debian
from ovenbird.base.apt import Index, Package
from ovenbird.base.debian import SETTLE, base_packages, filters
from ovenbird.base.sources import source_lines
from ovenbird.boards import Board, board
from ovenbird.build import device, kernel, tree
from ovenbird.build.bundle import Absence, bundle_inputs, plan_bundle
from ovenbird.build.inputs import (
    Tools,
    file_digest,
    file_inputs,
    folder_files,
    package_inputs,
    text_digest,
)
from ovenbird.build.store import Store, key_of
from ovenbird.files import sha256_of
from ovenbird.image import grub, initrd, rescue, root
from ovenbird.recipe.load import LoadedRecipe
from ovenbird.recipe.stage import Stage

if TYPE_CHECKING:
    from ovenbird.keys.signing import Signing

# A stage that installs packages by itself depends on what the package lists offer at that time.
USES_APT = re.compile(
    r"\b(apt|apt-get|aptitude)\b[^\n;&|]*"
    r"\b(install|reinstall|update|\w*upgrade|build-dep|satisfy|source|download)\b"
)
PACKAGE_LISTS = "package lists"  # the input that such a stage has


@dataclass(frozen=True)
class Step:
    """One step: its kind ("stage"), its name ("stage ssh"), and all that goes into it by name."""

    kind: str
    name: str
    inputs: Mapping[str, str]

    @cached_property
    def key(self) -> str:
        """The digest over kind and inputs."""
        return key_of(self.kind, self.inputs)


class Former(msgspec.Struct, frozen=True):
    """A step as the last build of the same recipe had it."""

    kind: str
    key: str
    inputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of one recipe, in the order in which they build on each other."""

    loaded: LoadedRecipe
    board: Board
    index: Index
    base_packages: tuple[Package, ...]
    base_names: tuple[str, ...]
    kernel_packages: tuple[Package, ...]
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
    tools = Tools(cache / "tools.json")
    index = Index.at(cache, _sources(loaded, cache, tools), machine.architecture, recipe.base.keyrings)
    index.refresh(force=refresh, on_line=on_refresh)
    names = base_packages(
        recipe.base,
        [*device.PACKAGES, *machine.base_packages, *(name for stage in loaded.stages for name in stage.packages)],
    )
    packages = index.resolve(names)
    kernels = kernel.kernel_packages(machine, index)
    signing = plan_bundle(recipe)
    return Plan(
        loaded,
        machine,
        index,
        packages,
        tuple(names),
        kernels,
        tuple(_steps(loaded, machine, index, packages, kernels, tools, signing)),
        signing,
    )


def _sources(loaded: LoadedRecipe, cache: Path, tools: Tools) -> tuple[str, ...]:
    """The apt sources, remembered as long as the host's own and the recipe's stay: asking takes longer than a plan."""
    base = loaded.recipe.base
    host = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    question = "\n".join(
        [
            tools.version("mmdebstrap"),
            *(f"{file} {file.stat().st_mtime_ns}" for file in host if file.exists()),
            str(base.release), str(base.mirror), str(base.security_mirror), *base.components, *base.sources,
        ]
    )  # fmt: skip
    memory = cache / "sources" / text_digest(question)
    if memory.exists():
        return tuple(memory.read_text().split("\0"))
    lines = source_lines(base)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text("\0".join(lines))
    return lines


def _steps(
    loaded: LoadedRecipe,
    machine: Board,
    index: Index,
    packages: tuple[Package, ...],
    kernels: tuple[Package, ...],
    tools: Tools,
    signing: Signing | Absence,
) -> list[Step]:
    recipe = loaded.recipe
    steps: list[Step] = []

    def add(kind: str, name: str, inputs: Mapping[str, str]) -> Step:
        step = Step(kind, name, inputs)
        steps.append(step)
        return step

    kernel_step = add("kernel", "kernel", {**package_inputs(kernels), **tools.inputs("depmod")})
    base = add(
        "base",
        "base",
        {
            "release": recipe.base.release,
            "architecture": machine.architecture,
            "sources": text_digest("\n".join(index.sources)),
            **package_inputs(packages),
            "settle_pyc": file_digest(SETTLE),
            "maker": sha256_of(Path(debian.__file__))[:24],
            "filters": " ".join(filters(loaded.stages[-1].arguments).split()),
            **{f"preseed {file.name}": file_digest(file) for file in recipe.base.preseed},
            **tools.inputs("mmdebstrap"),
        },
    )
    parent = device_step = add(
        "device",
        "device",
        {
            "base": base.key,
            "kernel": kernel_step.key,
            "instructions": text_digest(device.CONTAINERFILE),
            **file_inputs(device.device_files()),
            **tools.inputs("buildah"),
        },
    )
    for name, stage in zip(_stage_names(loaded.stages), loaded.stages, strict=True):
        parent = add("stage", name, _stage_inputs(stage, parent, index, tools))
    files = tree.tree_files(recipe, machine, digest=loaded.digest)
    tree_step = add("tree", "tree", _tree_inputs(parent, files))
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
        },
    )
    beside: dict[str, str] = {}
    if recipe.disk.rescue is not None:
        rescue_tree = add("rescue-tree", "rescue tree", _tree_inputs(device_step, files))
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
            "grub.cfg": text_digest(grub.grub_config().decode()),
            **tools.inputs("mkfs.vfat", "mcopy", "mke2fs", "grub-mkimage"),
        },
    )
    if not isinstance(signing, Absence):
        parents = {"boot": boot_step.key, "root": root_step.key}
        add("bundle", "bundle", bundle_inputs(recipe, machine, signing, parents))
    return steps


def _tree_inputs(parent: Step, files: Mapping[str, str]) -> dict[str, str]:
    return {
        "parent": parent.key,
        "instructions": text_digest(tree.CONTAINERFILE),
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
    if any(USES_APT.search(text) for text in texts):
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
    return (*machine.console, "gpt", "panic=10", "quiet", "systemd.ssh_auto=no", *debug, *boot.cmdline)


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
