"""The kernel, its modules, and the programs that boot it, taken out of the distribution's packages without installing.

The packages' scripts never run: they would start the target's initramfs tools. What is left is plain files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.base.apt import Index, Package
from ovenbird.boards import Board
from ovenbird.boards.board import Model
from ovenbird.build.debs import extract
from ovenbird.errors import BuildError
from ovenbird.run import run

BUSYBOX = "busybox-static"


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """What lies in the folder of a kernel step."""

    folder: Path
    version: str

    @property
    def kernel(self) -> Path:
        """The kernel image."""
        return self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The content of /usr/lib/modules/VERSION, with its indexes made."""
        return self.folder / "modules"

    @property
    def busybox(self) -> Path:
        """A static busybox for the target."""
        return self.folder / "busybox"

    @property
    def grub(self) -> Path:
        """GRUB's modules: a folder for each of its platforms."""
        return self.folder / "grub"

    @property
    def device_trees(self) -> Path:
        """The device trees of a board's models, in one folder."""
        return self.folder / "device-trees"

    @property
    def firmware(self) -> Path:
        """A Raspberry Pi's firmware, with its overlays in a folder of that name."""
        return self.folder / "firmware"


def kernel_packages(board: Board, index: Index, *, own: bool = False) -> tuple[Package, ...]:
    """The exact packages that a board's kernel and boot programs come from, without what they depend on besides.

    With `own` the root brings its kernel, and only the programs are wanted.
    """
    wanted = {*(() if own else board.kernel_packages), *board.boot_packages, BUSYBOX}
    return index.resolve(sorted(wanted), only=lambda name: name in wanted or name.startswith("linux-image-"))


def unpack_kernel(
    out: Path, packages: Sequence[Package], archives: Path, unpacked: Path, models: Sequence[Model] = ()
) -> KernelFiles:
    """Fill `out` (see KernelFiles) from the packages' files; `unpacked` is a folder for the time of the work.

    Raises BuildError where the packages do not hold one kernel, or not all that the models need.
    """
    for package in packages:
        extract(archives / package.file_name, unpacked)
    images = sorted(unpacked.glob("boot/vmlinu[xz]-*"))
    if len(images) != 1:
        names = ", ".join(image.name for image in images) or "none"
        raise BuildError(f"the board's kernel packages should hold one kernel, but hold {names}")
    version = re.sub(r"^vmlinu[xz]-", "", images[0].name)
    modules = next((unpacked / f"{base}/modules/{version}" for base in ("usr/lib", "lib") if (unpacked / f"{base}/modules/{version}").is_dir()), None)  # noqa: E501  # fmt: skip
    if modules is None:
        raise BuildError(f"the kernel packages hold no modules for {version}")
    for link in ("build", "source"):
        (modules / link).unlink(missing_ok=True)
    files = KernelFiles(out, version)
    shutil.move(images[0], files.kernel)
    # depmod wants the modules where they will be: below a root.
    root = unpacked / "depmod"
    (root / "lib/modules").mkdir(parents=True)
    shutil.move(modules, root / "lib/modules" / version)
    run(["depmod", "--basedir", root, version], what="the index of kernel modules")
    shutil.move(root / "lib/modules" / version, files.modules)
    busybox = next((unpacked / path for path in ("usr/bin/busybox", "bin/busybox") if (unpacked / path).exists()), None)
    if busybox is None:
        raise BuildError(f"{BUSYBOX} holds no busybox")
    shutil.move(busybox, files.busybox)
    grub = unpacked / "usr/lib/grub"
    if grub.is_dir():
        shutil.move(grub, files.grub)
    if models:
        _take_for_models(files, unpacked, models)
    return files


def _take_for_models(files: KernelFiles, unpacked: Path, models: Sequence[Model]) -> None:
    """The firmware and the device trees. Debian has the trees in a folder of their maker on 64 bits only."""
    firmware = unpacked / "usr/lib/raspi-firmware"
    if not firmware.is_dir():
        raise BuildError("raspi-firmware holds no firmware for a Raspberry Pi")
    shutil.move(firmware, files.firmware)
    files.device_trees.mkdir()
    trees = unpacked / f"usr/lib/linux-image-{files.version}"
    for model in models:
        places = [trees / model.device_tree, trees / "broadcom" / model.device_tree]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BuildError(f"the kernel {files.version} has no device tree for {model.name} ({model.device_tree})")
        shutil.copyfile(found, files.device_trees / model.device_tree)
        needed = (*model.firmware, *(("bootcode.bin",) if model.bootcode else ()))
        for name in needed:
            if not (files.firmware / name).is_file():
                raise BuildError(f"raspi-firmware has no {name}, which {model.name} starts with")
