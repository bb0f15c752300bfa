"""Bake a recipe: run the steps of its plan that are not in the store, and put the results into a folder.

Steps are asked for from the end: the disk needs the boot and root images, the root the tree, and so on, so that a step
whose result is kept asks for nothing before it. The kernel's side (kernel, initrd) runs beside the tree's side.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird import run as programs
from ovenbird.base.debian import bake_base, newest_change
from ovenbird.build import device, tree
from ovenbird.build.bundle import Absence, bundle_facts
from ovenbird.build.context import lay_out, settle
from ovenbird.build.engine import Engine
from ovenbird.build.kernel import KernelFiles, unpack_kernel
from ovenbird.build.plan import PACKAGE_LISTS, Plan, Step, initrd_modules, kernel_arguments, stage_files
from ovenbird.build.store import Making, StepRecord, Store
from ovenbird.errors import BuildError
from ovenbird.files import sha256_of
from ovenbird.image import bmap, boot, bundle, disk, grub, initrd, layout, rescue, root
from ovenbird.image.packages import installed_packages, largest_packages, write_packages
from ovenbird.progress import Progress
from ovenbird.progress import Step as Shown
from ovenbird.recipe.stage import Stage
from ovenbird.run import CommandError


@dataclass(slots=True)
class Baker:
    """One build. `records` gathers every step that was asked for, `made` the names of those that ran."""

    plan: Plan
    store: Store
    engine: Engine
    progress: Progress
    records: dict[str, StepRecord] = field(default_factory=dict[str, StepRecord])
    made: list[str] = field(default_factory=list[str])
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "kernel"))

    def bake(self, *names: str) -> None:
        """Make these steps and all that they need; kept ones ask for nothing."""
        with self.store.in_use():
            try:
                for name in names:
                    self._need(name)
            except BaseException:
                with programs.nothing_new():  # What runs beside must not go on for nothing.
                    self._pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                self._pool.shutdown(wait=True, cancel_futures=True)

    def folder(self, name: str) -> Path:
        """Where a step's files are."""
        step = self.plan.step(name)
        return self.store.folder(step.kind, step.key)

    def _need(self, name: str) -> StepRecord:
        """The record of a step, made now if it is not in the store."""
        if name in self.records:
            return self.records[name]
        step = self.plan.step(name)
        record = self.store.find(step.kind, step.key)
        if record is not None and step.kind in IMAGE_KINDS and not self.engine.exists(step.key):
            self.store.forget(record)  # Its image was taken away behind our back.
            record = None
        if record is None:
            makers: dict[str, Callable[[Step], StepRecord]] = {
                "kernel": self._kernel,
                "base": self._base,
                "device": self._device,
                "stage": self._stage,
                "tree": self._tree,
                "rescue-tree": self._rescue_tree,
                "rescue": self._rescue,
                "initrd": self._initrd,
                "root": self._root,
                "boot": self._boot,
                "disk": self._disk,
                "bundle": self._bundle,
            }
            record = makers[step.kind](step)
        self.store.use(step.kind, step.key)
        self.records[name] = record
        return record

    def _run(self, step: Step, maker: Callable[[Making, Shown], None]) -> StepRecord:
        def make(making: Making) -> None:
            maker(making, shown)
            self.made.append(step.name)  # Another build may have made it while we waited: then it was not us.

        with self.progress.step(step.name) as shown:
            return self.store.make(step.kind, step.name, step.inputs, make)

    def _epoch(self, name: str) -> int:
        """The build's own time, in seconds since the epoch: the latest change in the packages of the base.

        Every step of the tree's side hands it on, so that a late step does not need the base itself.
        """
        return int(self._need(name).facts["epoch"])

    def _kernel(self, step: Step) -> StepRecord:
        def make(making: Making, shown: Shown) -> None:
            packages = self.plan.kernel_packages
            with self.plan.index.archives(packages, on_bytes=shown.advance) as archives, self.store.scratch() as work:
                files = unpack_kernel(making.folder, packages, archives, work)
            making.facts["version"] = files.version
            making.note_digest(files.kernel.name)

        return self._run(step, make)

    def kernel_files(self) -> KernelFiles:
        """The kernel step's files."""
        return KernelFiles(self.folder("kernel"), self._need("kernel").facts["version"])

    def _base(self, step: Step) -> StepRecord:
        def make(making: Making, shown: Shown) -> None:
            plan = self.plan
            with plan.index.archives(plan.base_packages, on_bytes=shown.advance) as archives:
                epoch = newest_change(archives)
                archive = making.folder / "base.tar"
                base = plan.loaded.recipe.base
                scratch = making.folder / "scratch"
                scratch.mkdir()
                bake_base(
                    archive,
                    scratch=scratch,
                    base=base,
                    packages=plan.base_names,
                    index=plan.index,
                    archives=archives,
                    epoch=epoch,
                    preseed=base.preseed,
                    filters=plan.filters,
                    on_line=shown.line,
                )
            making.facts["epoch"] = str(epoch)
            making.size = archive.stat().st_size
            self.engine.remove_folder(scratch)
            self.engine.load(archive, step.key, plan.board.architecture)
            archive.unlink()

        return self._run(step, make)

    def _device(self, step: Step) -> StepRecord:
        with self.store.scratch() as scratch:
            context = scratch / "context"
            context.mkdir()

            def prepare() -> None:
                """All that does not need the base: what the second core does while the first one unpacks packages."""
                self._need("initrd")
                device.lay_out_device(
                    context,
                    kernel=self.kernel_files(),
                    architecture=self.plan.board.architecture,
                    python=device.python_version(self.plan.base_packages),
                )

            beside: Future[None] = self._pool.submit(prepare)
            epoch = self._epoch("base")
            beside.result()

            def make(making: Making, shown: Shown) -> None:
                settle(context, epoch)
                self._build(making, step, "base", device.CONTAINERFILE, context, {}, shown)

            return self._run(step, make)

    def _stage(self, step: Step) -> StepRecord:
        stages = self.plan.stage_steps()
        position = next(number for number, (_, other) in enumerate(stages) if other is step)
        stage = stages[position][0]
        parent = stages[position - 1][1].name if position else "device"
        self._need(parent)

        def make(making: Making, shown: Shown) -> None:
            context = making.folder / "context"
            context.mkdir()
            files = {**stage_files(stage), **stage.files}
            lay_out(context, files, self._epoch(parent), architecture=self.plan.board.architecture)
            try:
                self._build(making, step, parent, stage.containerfile, context, stage.arguments, shown)
            except CommandError as error:
                raise BuildError(
                    error.message, where=str(stage.folder), hint=self._shell_hint(parent, stage)
                ) from error

        return self._run(step, make)

    def _shell_hint(self, parent: str, stage: Stage) -> str:
        return f"look around where it began: ovenbird shell {self.plan.loaded.path} --before {stage.name}"

    def _tree(self, step: Step) -> StepRecord:
        return self._tree_on(step, self.plan.stage_steps()[-1][1].name)

    def _rescue_tree(self, step: Step) -> StepRecord:
        return self._tree_on(step, "device")

    def _tree_on(self, step: Step, parent: str) -> StepRecord:
        self._need(parent)
        loaded = self.plan.loaded

        def make(making: Making, shown: Shown) -> None:
            context = making.folder / "context"
            context.mkdir()
            tree.lay_out_tree(context, loaded.recipe, self.plan.board, digest=loaded.digest, epoch=self._epoch(parent))
            self._build(making, step, parent, tree.CONTAINERFILE, context, {}, shown)

        return self._run(step, make)

    def _build(
        self,
        making: Making,
        step: Step,
        parent: str,
        text: str,
        context: Path,
        arguments: Mapping[str, str],
        shown: Shown,
    ) -> None:
        epoch = self._epoch(parent)
        making.facts["epoch"] = str(epoch)
        index = self.plan.index
        with ExitStack() as stack:
            apt = PACKAGE_LISTS in step.inputs
            self.engine.build(
                parent=self.plan.step(parent).key,
                key=step.key,
                text=text,
                context=context,
                arguments={**arguments, "SOURCE_DATE_EPOCH": str(epoch), "DEBIAN_FRONTEND": "noninteractive"},
                lists=index.lists if apt else None,
                archives=stack.enter_context(index.archives(())) if apt else None,
                on_line=shown.line,
                what=step.name,
            )
        shutil.rmtree(context)
        making.size = self.engine.layer_size(step.key)

    def _initrd(self, step: Step) -> StepRecord:
        self._need("kernel")

        def make(making: Making, shown: Shown) -> None:
            files = self.kernel_files()
            initrd.write_initrd(
                making.folder / "initrd",
                kernel_version=files.version,
                modules=files.modules,
                busybox=files.busybox,
                wanted=initrd_modules(self.plan.loaded, self.plan.board),
                epoch=0,
            )
            making.note_digest("initrd")

        return self._run(step, make)

    def _root(self, step: Step) -> StepRecord:
        self._need("tree")

        def make(making: Making, shown: Shown) -> None:
            image = making.folder / "root.squashfs"
            level = self.plan.loaded.recipe.disk.compression_level
            epoch = self._epoch("tree")
            root.bake_root(image, self.engine, self.plan.step("tree").key, level=level, epoch=epoch, on_line=shown.line)
            making.facts["epoch"] = str(epoch)
            making.note_digest(image.name)
            write_packages(making.folder / "packages.json", installed_packages(image), self.plan.kernel_packages)

        return self._run(step, make)

    def _boot(self, step: Step) -> StepRecord:
        root_record = self._need("root")
        self._need("initrd")
        recipe = self.plan.loaded.recipe
        image = self.folder("root") / "root.squashfs"
        root.check_fits(image, recipe.disk.root, largest_packages(self.folder("root") / "packages.json"))

        def make(making: Making, shown: Shown) -> None:
            arguments = [
                *kernel_arguments(self.plan.loaded, self.plan.board),
                f"ovenbird.hash=sha256:{root_record.digest(image.name)}",
            ]
            boot.write_boot(
                making.folder / "boot.vfat",
                kernel=self.kernel_files().kernel,
                initrd=self.folder("initrd") / "initrd",
                cmdline=" ".join(arguments),
                label="boot",
                size=recipe.disk.boot,
                epoch=self._epoch("root"),
            )
            making.note_digest("boot.vfat")

        return self._run(step, make)

    def _rescue(self, step: Step) -> StepRecord:
        self._need("rescue tree")
        self._need("initrd")
        sizes = self.plan.loaded.recipe.disk
        assert sizes.rescue is not None, "a recipe without rescue has no such step"
        size = sizes.rescue

        def make(making: Making, shown: Shown) -> None:
            key, epoch = self.plan.step("rescue tree").key, self._epoch("rescue tree")
            with self.store.scratch() as scratch:
                image = scratch / rescue.ROOT
                level = sizes.compression_level
                out_of = (self.engine, key)
                root.bake_root(image, *out_of, level=level, epoch=epoch, without=rescue.LEFT_OUT, on_line=shown.line)
                rescue.write_rescue(
                    making.folder / "rescue.vfat",
                    kernel=self.kernel_files().kernel,
                    initrd=self.folder("initrd") / "initrd",
                    root=image,
                    digest=sha256_of(image),
                    arguments=kernel_arguments(self.plan.loaded, self.plan.board),
                    size=size,
                    epoch=epoch,
                )
            making.note_digest("rescue.vfat")

        return self._run(step, make)

    def _disk(self, step: Step) -> StepRecord:
        self._need("boot")
        self._need("kernel")
        sizes = self.plan.loaded.recipe.disk
        if sizes.rescue is not None:
            self._need("rescue")

        root_image = self.folder("root") / "root.squashfs"
        digest = self._need("root").digest(root_image.name)

        def make(making: Making, shown: Shown) -> None:
            epoch = self._epoch("root")
            plan = layout.plan(
                select=layout.SELECT_SIZE,
                boot=sizes.boot,
                root=sizes.root,
                data=sizes.data,
                digest=digest,
                rescue=sizes.rescue or 0,
            )
            with self.store.scratch() as scratch:
                select = scratch / "select.vfat"
                bios = grub.write_select(select, grub=self.kernel_files().grub, epoch=epoch)
                map_ = disk.write_disk(
                    making.folder / "disk.img",
                    layout=plan,
                    select=select,
                    bios=bios,
                    boot=self.folder("boot") / "boot.vfat",
                    root=root_image,
                    digest=digest,
                    epoch=epoch,
                    rescue=self.folder("rescue") / "rescue.vfat" if sizes.rescue is not None else None,
                )
            with ThreadPoolExecutor(1) as beside:
                mapping = beside.submit(bmap.write_bmap, making.folder / "disk.bmap", map_)
                making.note_digest("disk.img")
                mapping.result()
            making.note_digest("disk.bmap")

        return self._run(step, make)

    def _bundle(self, step: Step) -> StepRecord:
        self._need("boot")
        self._need("root")
        signing = self.plan.signing
        assert not isinstance(signing, Absence), "a plan without a signer has no such step"

        def make(making: Making, shown: Shown) -> None:
            shown.line(f"signed by {signing.who}")
            with self.store.scratch() as scratch:
                bundle.write_bundle(
                    making.folder / "bundle.swu",
                    facts=bundle_facts(self.plan.loaded.recipe, self.plan.board),
                    boot=self.folder("boot") / "boot.vfat",
                    root=self.folder("root") / "root.squashfs",
                    sign=signing.sign,
                    epoch=self._epoch("root"),
                    scratch=scratch,
                )
            making.note_digest("bundle.swu")

        return self._run(step, make)

    def outputs(self) -> dict[str, Path]:
        """The files that a user gets, by their names, once all is made."""
        name = f"{self.plan.loaded.recipe.image.name}.swu"
        signed = {} if isinstance(self.plan.signing, Absence) else {name: self.folder("bundle") / "bundle.swu"}
        return {
            **signed,
            "disk.img": self.folder("disk") / "disk.img",
            "disk.bmap": self.folder("disk") / "disk.bmap",
            "root.squashfs": self.folder("root") / "root.squashfs",
            "boot.vfat": self.folder("boot") / "boot.vfat",
            "initrd": self.folder("initrd") / "initrd",
            "kernel": self.kernel_files().kernel,
        }

    def digests(self) -> dict[str, str]:
        """The sha256 of each of the outputs, taken when it was made."""
        steps = {"disk.img": "disk", "disk.bmap": "disk", "root.squashfs": "root", "boot.vfat": "boot"}
        steps |= {"initrd": "initrd", "kernel": "kernel"}
        return {name: self._need(steps.get(name, "bundle")).digest(file.name) for name, file in self.outputs().items()}

    def facts(self) -> tuple[str, int, Path]:
        """The kernel's version, the build's own time (seconds since the epoch) and the file with the packages."""
        return self.kernel_files().version, self._epoch("root"), self.folder("root") / "packages.json"


IMAGE_KINDS = ("base", "device", "stage", "tree", "rescue-tree")
