"""The boot programs that firmware starts, out of the distribution's packages, in one folder for TFTP and HTTP.

For PCs iPXE, which brings its own menus, HTTP and retries: Debian's package `ipxe` has it for BIOS (undionly.kpxe) and
for UEFI of amd64 (snponly.efi), not for arm64. There it is GRUB, put together here from the target's modules
(`grub-efi-arm64-bin`, fetched by the private apt, as no host of another architecture can install it). PXELINUX
(lpxelinux.0) is for BIOS machines that iPXE does not get along with.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ovenbird.boards.board import ARM64
from ovenbird.deliver.serve import menus
from ovenbird.errors import HostError
from ovenbird.files import locked
from ovenbird.progress import Progress
from ovenbird.run import run

UNDIONLY, SNPONLY, GRUB_ARM64 = "undionly.kpxe", "snponly.efi", "grubaa64.efi"
LPXELINUX, LDLINUX = "lpxelinux.0", "ldlinux.c32"
GRUB_MODULES = (
    *("efinet", "http", "tftp", "net", "linux", "echo", "configfile", "normal", "test", "true", "sleep"),
    *("smbios", "reboot", "halt", "regexp", "minicmd"),
)
_GRUB_PACKAGE = "grub-efi-arm64-bin"
_GRUB_RELEASE = "bookworm"
"""Whose GRUB is started on arm64: the one that the tests boot."""


@dataclass(frozen=True, slots=True)
class Source:
    """A program that is a file of a package, in the places where distributions have it."""

    name: str
    package: str
    places: tuple[str, ...]

    def find(self) -> Path:
        """Where it is here. Raises HostError."""
        for place in self.places:
            if Path(place).is_file():
                return Path(place)
        raise HostError(f"{self.name} is not installed", hint=f"sudo apt-get install {self.package}")


IPXE = (
    Source(UNDIONLY, "ipxe", ("/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe")),
    Source(
        SNPONLY,
        "ipxe",
        ("/usr/lib/ipxe/snponly.efi", "/usr/share/ipxe/snponly.efi", "/usr/share/ipxe/x86_64/snponly.efi"),
    ),
)
PXELINUX = (
    Source(LPXELINUX, "pxelinux", ("/usr/lib/PXELINUX/lpxelinux.0", "/usr/lib/syslinux/bios/lpxelinux.0")),
    Source(
        LDLINUX, "syslinux-common", ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "/usr/lib/syslinux/bios/ldlinux.c32")
    ),
)


def lay_out(folder: Path, base: str, *, architectures: set[str], pxelinux: bool, progress: Progress) -> None:
    """Fill a folder with the programs that clients of these architectures start. Raises HostError, NetworkError."""
    sources = [*(IPXE if "amd64" in architectures else ()), *(PXELINUX if pxelinux else ())]
    for source in sources:
        shutil.copyfile(source.find(), folder / source.name)
        (folder / source.name).chmod(0o644)
    if "arm64" in architectures:
        device = grub_device(base)
        with progress.step("making GRUB's network image for arm64"):
            write_grub(folder / GRUB_ARM64, modules(), device)


def grub_device(base: str) -> str:
    """How GRUB names a server of HTTP."""
    return f"http,{base.removeprefix('http://')}"


def write_grub(out: Path, modules: Path, device: str) -> None:
    """Put GRUB's network image for arm64 together, with the script that asks for the menu in it."""
    missing = [f"{name}.mod" for name in GRUB_MODULES if not (modules / f"{name}.mod").is_file()]
    if missing:
        raise HostError(f"GRUB's {', '.join(missing)} are missing in {modules}")
    with tempfile.TemporaryDirectory(prefix="ovenbird-grub-") as scratch:
        script = Path(scratch) / "start.cfg"
        script.write_text(menus.grub_start(device))
        platform = ARM64.facts.grub
        run(
            [
                "grub-mkimage",
                "-d",
                modules,
                "-O",
                platform,
                "-p",
                f"({device})/boot",
                "-c",
                script,
                "-o",
                out,
                *GRUB_MODULES,
            ],
            what=f"making GRUB's image for {platform}",
        )
    out.chmod(0o644)


def modules() -> Path:
    """The folder of GRUB's modules for arm64: this machine's own, else fetched once and kept. Raises NetworkError."""
    from ovenbird.build.store import cache_folder

    own = Path("/usr/lib/grub") / ARM64.facts.grub
    if (own / "kernel.img").is_file():
        return own
    kept = cache_folder() / "boot-programs" / f"{_GRUB_PACKAGE}-{_GRUB_RELEASE}"
    with locked(kept.with_name(f".{kept.name}.lock")):
        if not (kept / "kernel.img").is_file():
            _fetch(kept)
    return kept


def _fetch(kept: Path) -> None:
    from ovenbird.base.apt import Index
    from ovenbird.base.sources import source_lines
    from ovenbird.build.debs import extract
    from ovenbird.build.store import Store, cache_folder
    from ovenbird.recipe.model import Base

    base = Base(distribution="debian", release=_GRUB_RELEASE)
    index = Index.at(cache_folder(), source_lines(base), ARM64.debian, base.keyrings)
    index.refresh()
    packages = index.resolve([_GRUB_PACKAGE], only=lambda name: name == _GRUB_PACKAGE)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    with (
        Store(cache_folder()).in_use(),
        index.archives(packages) as archives,
        tempfile.TemporaryDirectory(prefix=".grub-", dir=kept.parent) as scratch,
    ):
        for package in packages:
            extract(archives / package.file_name, Path(scratch))
        (Path(scratch) / "usr/lib/grub" / ARM64.facts.grub).rename(kept)
