"""Bake a recipe: run the steps of its plan that are not in the store, and put the results into a folder.

Steps are asked for from the end: the disk needs the boot and root images, the root the tree, and so on, so that a step
whose result is kept asks for nothing before it. The kernel's side (kernel, initrd) runs beside the tree's side.
How each kind of step is made is told by `tree_steps` and `image_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird import run as programs
from ovenbird.build import image_steps, tree_steps
from ovenbird.build.bundle import Absence
from ovenbird.build.cross import emulation
from ovenbird.build.cross.emulation import Inside
from ovenbird.build.engine import Engine
from ovenbird.build.kernel import KernelFiles
from ovenbird.build.plan import Plan, Step
from ovenbird.build.store import Making, StepRecord, Store
from ovenbird.build.tree_steps import IMAGE_KINDS
from ovenbird.image import netboot
from ovenbird.interrupts import Pool
from ovenbird.progress import Progress
from ovenbird.progress import Step as Shown
from ovenbird_device.format.netboot import FOLDER, MANIFEST


@dataclass(slots=True)
class Baker:
    """One build. `records` gathers every step that was asked for, `made` the names of those that ran.

    `pool` is for what a step has done beside its own work.
    """

    plan: Plan
    store: Store
    engine: Engine
    progress: Progress
    records: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    made: list[str] = field(default_factory=list[str])
    pool: Pool = field(default_factory=lambda: Pool(1, "kernel"))

    def bake(self, *names: str) -> None:
        """Make these steps and all that they need; kept ones ask for nothing."""
        with self.store.in_use():
            try:
                for name in names:
                    self.need(name)
            except BaseException:
                with programs.nothing_new():  # What runs beside must not go on for nothing.
                    self.pool.end()
                raise
            finally:
                self.pool.end()

    def folder(self, name: str) -> Path:
        """Where a step's files are."""
        step = self.plan.step(name)
        return self.store.folder(step.kind, step.key)

    def need(self, name: str) -> StepRecord:
        """The record of a step, made now if it is not in the store."""
        if name in self.records:
            return self.records[name]
        step = self.plan.step(name)
        record = self.store.find(step.kind, step.key)
        if record is not None and step.kind in IMAGE_KINDS and not self.engine_of(step).exists(step.key):
            self.store.forget(record)  # Its image was taken away behind our back.
            record = None
        if record is None:
            record = MAKERS[step.kind](self, step)
        self.store.use(step.kind, step.key)
        self.records[name] = record
        return record

    def run(self, step: Step, maker: Callable[[Making, Shown], None]) -> StepRecord:
        """Run what makes a step, shown to whoever watches; returns the step's record."""

        def make(making: Making) -> None:
            maker(making, shown)
            self.made.append(step.name)  # Another build may have made it while we waited: then it was not us.

        with self.progress.step(step.name) as shown:
            return self.store.make(step.kind, step.name, step.inputs, make)

    @property
    def inside(self) -> Inside:
        """How the target's programs run here. Raises HostError where they cannot."""
        return emulation.inside(self.plan.board.cpu, self.store.root)

    def engine_of(self, step: Step) -> Engine:
        """The engine that makes a step of the tree, and has its image."""
        if not step.emulated:
            return self.engine
        return Engine.at(self.store.root, self.inside)

    def epoch(self, name: str) -> int:
        """The build's own time, in seconds since the epoch: the latest change in the packages of the base.

        Every step of the tree's side hands it on, so that a late step does not need the base itself.
        """
        return int(self.need(name).facts["epoch"])

    def kernel_files(self) -> KernelFiles:
        """The kernel step's files."""
        return KernelFiles(self.folder("kernel"), self.need("kernel").facts["version"])

    def outputs(self) -> dict[str, Path]:
        """The files that a user gets, by their names, once all is made."""
        name = f"{self.plan.loaded.recipe.image.name}.swu"
        signed = {} if isinstance(self.plan.signing, Absence) else {name: self.folder("bundle") / "bundle.swu"}
        network = {
            f"{FOLDER}/{netboot.KERNEL}": self.kernel_files().kernel,
            f"{FOLDER}/{netboot.INITRD}": self.folder("netboot initrd") / "initrd",
            f"{FOLDER}/{netboot.ROOT}": self.folder("root") / "root.squashfs",
            f"{FOLDER}/{MANIFEST}": self.folder("netboot") / MANIFEST,
        }
        return {
            **signed,
            "disk.img": self.folder("disk") / "disk.img",
            "disk.bmap": self.folder("disk") / "disk.bmap",
            "root.squashfs": self.folder("root") / "root.squashfs",
            "boot.vfat": self.folder("boot") / "boot.vfat",
            "initrd": self.folder("initrd") / "initrd",
            "kernel": self.kernel_files().kernel,
            **(network if self.plan.netboot else {}),
        }

    def digests(self) -> dict[str, str]:
        """The sha256 of each of the outputs, taken when it was made."""
        steps = {"disk.img": "disk", "disk.bmap": "disk", "root.squashfs": "root", "boot.vfat": "boot"}
        steps |= {"initrd": "initrd", "kernel": "kernel"}
        made_for_network = {netboot.KERNEL: "kernel", netboot.INITRD: "netboot initrd", netboot.ROOT: "root"}
        steps |= {f"{FOLDER}/{name}": step for name, step in {**made_for_network, MANIFEST: "netboot"}.items()}
        return {name: self.need(steps.get(name, "bundle")).digest(file.name) for name, file in self.outputs().items()}

    def facts(self) -> tuple[str, int, Path]:
        """The kernel's version, the build's own time (seconds since the epoch) and the file with the packages."""
        return self.kernel_files().version, self.epoch("root"), self.folder("root") / "packages.json"


Maker = Callable[[Baker, Step], StepRecord]
MAKERS: dict[str, Maker] = {**tree_steps.MAKERS, **image_steps.MAKERS}
"""How each kind of step is made."""
