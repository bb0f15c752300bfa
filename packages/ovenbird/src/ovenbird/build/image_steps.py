"""The steps from a tree to the files that a machine boots: kernel and initrd, root and boot images, disk and bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovenbird.boards.board import Selector
from ovenbird.build.boot_inputs import initrd_modules, kernel_arguments, netboot_modules
from ovenbird.build.bundle import Absence, bundle_facts
from ovenbird.build.foreign import lend_kernel
from ovenbird.build.kernel import unpack_kernel
from ovenbird.build.plan import Step
from ovenbird.build.store import Making, StepRecord
from ovenbird.files import sha256_of
from ovenbird.image import bmap, boot, bundle, disk, grub, initrd, layout, netboot, raspberry, rescue, root
from ovenbird.image.packages import installed_packages, largest_packages, write_packages
from ovenbird.interrupts import Pool
from ovenbird.progress import Step as Shown

if TYPE_CHECKING:
    from ovenbird.build.bake import Baker, Maker


def _kernel(baker: Baker, step: Step) -> StepRecord:
    if step.parent:
        baker.need(step.parent)

    def make(making: Making, shown: Shown) -> None:
        packages = baker.plan.kernel_packages
        with (
            baker.plan.packages.index.archives(packages, on_bytes=shown.advance) as archives,
            baker.store.scratch() as work,
        ):
            if step.kind == "own-kernel":
                lend_kernel(baker, step, work)
            files = unpack_kernel(making.folder, packages, archives, work, baker.plan.board.models)
        making.facts["version"] = files.version
        making.note_digest(files.kernel.name)

    return baker.run(step, make)


def _initrd(baker: Baker, step: Step) -> StepRecord:
    """The initrd of a disk, or of a machine without one: they differ in their modules."""
    baker.need("kernel")

    def make(making: Making, shown: Shown) -> None:
        files = baker.kernel_files()
        modules = netboot_modules if step.kind == "netboot-initrd" else initrd_modules
        initrd.write_initrd(
            making.folder / "initrd",
            kernel_version=files.version,
            modules=files.modules,
            busybox=files.busybox,
            wanted=modules(baker.plan.loaded, baker.plan.board),
            epoch=0,
        )
        making.note_digest("initrd")

    return baker.run(step, make)


def _root(baker: Baker, step: Step) -> StepRecord:
    finished = baker.plan.step(baker.plan.finished)
    baker.need(finished.name)

    def make(making: Making, shown: Shown) -> None:
        image = making.folder / "root.squashfs"
        level = baker.plan.loaded.recipe.disk.compression_level
        epoch = baker.epoch(finished.name)
        engine = baker.engine_of(finished)
        root.bake_root(image, engine, finished.key, level=level, epoch=epoch, on_line=shown.line)
        making.facts["epoch"] = str(epoch)
        making.note_digest(image.name)
        write_packages(making.folder / "packages.json", installed_packages(image), baker.plan.kernel_packages)

    return baker.run(step, make)


def _boot(baker: Baker, step: Step) -> StepRecord:
    root_record = baker.need("root")
    baker.need("initrd")
    recipe = baker.plan.loaded.recipe
    image = baker.folder("root") / "root.squashfs"
    root.check_fits(image, recipe.disk.root, largest_packages(baker.folder("root") / "packages.json"))

    def make(making: Making, shown: Shown) -> None:
        arguments = [
            *kernel_arguments(baker.plan.loaded, baker.plan.board),
            f"ovenbird.hash=sha256:{root_record.digest(image.name)}",
        ]
        out, size, epoch = making.folder / "boot.vfat", recipe.disk.boot, baker.epoch("root")
        kernel, initrd = baker.kernel_files(), baker.folder("initrd") / "initrd"
        if baker.plan.board.selector is Selector.AUTOBOOT:
            parts = raspberry.Parts(kernel.kernel, initrd, kernel.firmware, kernel.device_trees)
            raspberry.write_boot(
                out, board=baker.plan.board, pi=recipe.pi, parts=parts, arguments=arguments, size=size, epoch=epoch
            )
        else:
            line = " ".join(arguments)
            boot.write_boot(
                out, kernel=kernel.kernel, initrd=initrd, cmdline=line, label="boot", size=size, epoch=epoch
            )
        making.note_digest("boot.vfat")

    return baker.run(step, make)


def _rescue(baker: Baker, step: Step) -> StepRecord:
    finished = baker.plan.step(baker.plan.finished_rescue)
    baker.need(finished.name)
    baker.need("initrd")
    sizes = baker.plan.loaded.recipe.disk
    assert sizes.rescue is not None, "a recipe without rescue has no such step"
    size = sizes.rescue

    def make(making: Making, shown: Shown) -> None:
        key, epoch = finished.key, baker.epoch(finished.name)
        with baker.store.scratch() as scratch:
            image = scratch / rescue.ROOT
            level = sizes.compression_level
            out_of = (baker.engine_of(finished), key)
            root.bake_root(image, *out_of, level=level, epoch=epoch, without=rescue.LEFT_OUT, on_line=shown.line)
            rescue.write_rescue(
                making.folder / "rescue.vfat",
                kernel=baker.kernel_files().kernel,
                initrd=baker.folder("initrd") / "initrd",
                root=image,
                digest=sha256_of(image),
                arguments=kernel_arguments(baker.plan.loaded, baker.plan.board),
                size=size,
                epoch=epoch,
            )
        making.note_digest("rescue.vfat")

    return baker.run(step, make)


def _disk(baker: Baker, step: Step) -> StepRecord:
    baker.need("boot")
    baker.need("kernel")
    sizes = baker.plan.loaded.recipe.disk
    if sizes.rescue is not None:
        baker.need("rescue")

    root_image = baker.folder("root") / "root.squashfs"
    digest = baker.need("root").digest(root_image.name)

    def make(making: Making, shown: Shown) -> None:
        epoch = baker.epoch("root")
        board, files = baker.plan.board, baker.kernel_files()
        plan: layout.Layout | layout.CardLayout
        with baker.store.scratch() as scratch:
            select, bios = scratch / "select.vfat", None
            if board.selector is Selector.AUTOBOOT:
                plan = layout.plan_card(
                    select=layout.CARD_SELECT_SIZE, boot=sizes.boot, root=sizes.root, data=sizes.data, digest=digest
                )
                pi = baker.plan.loaded.recipe.pi
                raspberry.write_select(select, board=board, firmware=files.firmware, epoch=epoch, pi=pi)
            else:
                plan = layout.plan(
                    select=layout.SELECT_SIZE,
                    boot=sizes.boot,
                    root=sizes.root,
                    data=sizes.data,
                    digest=digest,
                    rescue=sizes.rescue or 0,
                )
                grub.write_select(select, grub=files.grub, epoch=epoch, cpu=board.cpu)
                bios = grub.bios_code(files.grub) if board.bios else None
            map_ = disk.write_disk(
                making.folder / "disk.img",
                layout=plan,
                select=select,
                bios=bios,
                boot=baker.folder("boot") / "boot.vfat",
                root=root_image,
                digest=digest,
                epoch=epoch,
                rescue=baker.folder("rescue") / "rescue.vfat" if sizes.rescue is not None else None,
            )
        with Pool(1) as beside:
            mapping = beside.submit(bmap.write_bmap, making.folder / "disk.bmap", map_)
            making.note_digest("disk.img")
            mapping.result()
        making.note_digest("disk.bmap")

    return baker.run(step, make)


def _bundle(baker: Baker, step: Step) -> StepRecord:
    baker.need("boot")
    baker.need("root")
    signing = baker.plan.signing
    assert not isinstance(signing, Absence), "a plan without a signer has no such step"

    def make(making: Making, shown: Shown) -> None:
        shown.line(f"signed by {signing.who}")
        with baker.store.scratch() as scratch:
            bundle.write_bundle(
                making.folder / "bundle.swu",
                facts=bundle_facts(baker.plan.loaded.recipe, baker.plan.board),
                boot=baker.folder("boot") / "boot.vfat",
                root=baker.folder("root") / "root.squashfs",
                sign=signing.sign,
                epoch=baker.epoch("root"),
                scratch=scratch,
            )
        making.note_digest("bundle.swu")

    return baker.run(step, make)


def _netboot(baker: Baker, step: Step) -> StepRecord:
    baker.need("root")
    baker.need("netboot initrd")

    def make(making: Making, shown: Shown) -> None:
        netboot.write_manifest(
            making.folder,
            recipe=baker.plan.loaded.recipe,
            board=baker.plan.board,
            kernel=baker.kernel_files().kernel,
            initrd=baker.folder("netboot initrd") / "initrd",
            root=baker.folder("root") / "root.squashfs",
            arguments=kernel_arguments(baker.plan.loaded, baker.plan.board),
        )
        making.note_digest("manifest.json")

    return baker.run(step, make)


MAKERS: dict[str, Maker] = {
    "kernel": _kernel,
    "own-kernel": _kernel,
    "initrd": _initrd,
    "root": _root,
    "boot": _boot,
    "netboot-initrd": _initrd,
    "netboot": _netboot,
    "rescue": _rescue,
    "disk": _disk,
    "bundle": _bundle,
}
