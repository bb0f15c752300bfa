"""The selector of a PC: GRUB for UEFI and for BIOS, its one `grub.cfg`, and the two copies of its state.

The images are put together by the host's `grub-mkimage` from the *target's* modules, all that is needed embedded, so
that nothing but the boot partitions is read later. Their bytes depend on the modules alone: grub-mkimage 2.06 and 2.12
give equal bytes from the modules of either release. What grub-install would write into the first sectors is done here,
for it needs neither root nor a device: two numbers in `boot.img` and one block list in `core.img`.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ovenbird.boards import Architecture
from ovenbird.boards.board import AMD64
from ovenbird.errors import ImageError
from ovenbird.image.fat import write_fat
from ovenbird.image.layout import MIB, NUMBERS, SELECT_SIZE
from ovenbird.run import run
from ovenbird_device.format import selector
from ovenbird_device.format.sectors import SECTOR

# What grub.cfg uses; grub-mkimage adds what these need.
COMMON = (
    *("normal", "configfile", "test", "true", "regexp", "echo", "sleep", "minicmd", "reboot", "halt"),
    *("part_gpt", "fat", "loadenv", "probe", "linux", "boot"),
)
BIOS = ("biosdisk", "serial", "terminal")
UEFI = ("efi_gop", "efifwsetup")
PREFIX = f"(,gpt{NUMBERS['select']})/grub"
"""The disk is left out: GRUB puts in the one that it was loaded from."""

# grub-core/boot/i386/pc/boot.S and diskboot.S
_KERNEL_SECTOR = 0x5C
_DRIVE_CHECK = 0x66
_NOPS = b"\x90\x90"
_BLOCK_LIST = SECTOR - 12
_SEGMENT = 0x820


@dataclass(frozen=True, slots=True)
class BiosCode:
    """GRUB's code for BIOS, not placed yet: the boot sector and what belongs into the `bios` partition."""

    boot_img: bytes
    core_img: bytes

    def placed(self, sector: int) -> tuple[bytes, bytes]:
        """The boot sector's code (440 bytes) and the core for a `bios` partition that begins at `sector`."""
        boot = bytearray(self.boot_img)
        struct.pack_into("<Q", boot, _KERNEL_SECTOR, sector)
        boot[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NOPS  # The disk is never a floppy: do not trust an odd drive number.
        core = bytearray(self.core_img)
        core += bytes(-len(core) % SECTOR)
        struct.pack_into("<QHH", core, _BLOCK_LIST, sector + 1, len(core) // SECTOR - 1, _SEGMENT)
        return bytes(boot[:440]), bytes(core)


def grub_config() -> bytes:
    """The one `grub.cfg`, the same for every image."""
    return files("ovenbird.image").joinpath("grub.cfg").read_bytes()


def write_select(
    out: Path,
    *,
    grub: Path,
    epoch: int,
    cpu: Architecture = AMD64,
    size: int = SELECT_SIZE,
    state: selector.State | None = None,
) -> None:
    """Write the `select` file system of `size` bytes.

    `grub` is the folder with a folder for each platform of the target's GRUB. Raises ImageError if modules are missing.
    """
    block = selector.encode(state or selector.State())
    platform = cpu.facts.grub
    contents: dict[str, Path | bytes] = {
        f"EFI/BOOT/{cpu.efi_program}": _image(grub / platform, platform, (*COMMON, *UEFI)),
        "grub/grub.cfg": grub_config(),
        **dict.fromkeys(selector.COPIES, block),
    }
    write_fat(out, contents, size=size, label="SELECT", epoch=epoch, bits=32 if size >= 34 * MIB else 16)


def bios_code(grub: Path) -> BiosCode:
    """The code for BIOS out of the folder `i386-pc` of the target's GRUB. Raises ImageError as above."""
    folder = grub / "i386-pc"
    core = _image(folder, "i386-pc", (*COMMON, *BIOS))
    boot = (folder / "boot.img").read_bytes()
    if len(boot) != SECTOR or boot[510:] != b"\x55\xaa":
        raise ImageError("boot.img is not a boot sector", where=str(folder))
    if core[_BLOCK_LIST + 10 : SECTOR] != struct.pack("<H", _SEGMENT) or len(core) > MIB:
        raise ImageError("grub-mkimage made a core image of an unknown kind", where=str(folder))
    return BiosCode(boot, core)


def _image(folder: Path, platform: str, modules: tuple[str, ...]) -> bytes:
    needed = [*(f"{module}.mod" for module in modules), "kernel.img"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ImageError(f"GRUB's {', '.join(missing)} are missing", where=str(folder))
    with tempfile.TemporaryDirectory(prefix="ovenbird-grub-") as scratch:
        image = Path(scratch) / "image"
        command: list[str | Path] = ["grub-mkimage", "-d", folder, "-O", platform, "-p", PREFIX, "-o", image, *modules]
        run(command, what=f"making GRUB's image for {platform}")
        return image.read_bytes()
