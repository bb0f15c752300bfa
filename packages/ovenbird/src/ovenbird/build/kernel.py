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
from ovenbird.errors import BuildError
from ovenbird.run import run, spawn

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


def kernel_packages(board: Board, index: Index) -> tuple[Package, ...]:
    """The exact packages that a board's kernel and boot programs come from, without what they depend on besides."""
    wanted = {*board.kernel_packages, *board.boot_packages, BUSYBOX}
    return index.resolve(sorted(wanted), only=lambda name: name in wanted or name.startswith("linux-image-"))


def unpack_kernel(out: Path, packages: Sequence[Package], archives: Path, unpacked: Path) -> KernelFiles:
    """Fill `out` (see KernelFiles) from the packages' files; `unpacked` is a folder for the time of the work.

    Raises BuildError where the packages do not hold one kernel.
    """
    for package in packages:
        _unpack(archives / package.file_name, unpacked)
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
    return files


def _unpack(package: Path, folder: Path) -> None:
    """Unpack a package's files; documents and translations are of no use here."""
    with spawn(["dpkg-deb", "--fsys-tarfile", package], stdout=-1) as deb:
        run(
            [
                "tar", "--extract", "--directory", folder, "--no-same-owner", "--delay-directory-restore",
                "--exclude=./usr/share/doc", "--exclude=./usr/share/locale", "--exclude=./usr/share/man",
            ],
            stdin=deb.stdout,
            what=f"unpacking {package.name}",
        )  # fmt: skip
        if deb.wait() != 0:
            raise BuildError(f"{package.name} cannot be unpacked", hint="remove it with `ovenbird store gc --packages`")
