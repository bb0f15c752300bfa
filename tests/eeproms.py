"""Small cards of a Pi 4 with a boot loader on board, made by the workstation's own code. The EEPROM's image has the
sections of a real one; what is in them is noise, as nothing here runs it.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ovenbird.boards import board
from ovenbird.boards.board import Model
from ovenbird.image.disk import write_disk
from ovenbird.image.fat import write_fat
from ovenbird.image.layout import MIB, plan_card
from ovenbird.image.raspberry import write_select
from ovenbird.recipe.pi import Pi
from ovenbird_device.format import eeprom
from ovenbird_device.format.selector import Slot, State
from ovenbird_device.slots import disk as disks
from ovenbird_device.slots.disk import Disk, Note

RPI = board("rpi")
OLD, NEW = 1599135103, 1771858593  # 2020-09-03, 2026-02-23
PI4 = next(model for model in RPI.models if model.section == "pi4")
CM4 = next(model for model in RPI.models if model.section == "cm4")


def section(magic: int, content: bytes) -> bytes:
    """One section, padded to eight bytes."""
    whole = struct.pack(">II", magic, len(content)) + content
    return whole + b"\xff" * (-len(whole) % 8)


def image(built: int, settings: bytes = b"[all]\nBOOT_UART=0\n") -> bytes:
    """An image as the EEPROM takes it."""
    parts = section(0x55AAF00F, b"code BUILD_TIMESTAMP=%d\0" % built + bytes(70_000))
    parts += section(0x55AAF44F, b"bootmain\0\0\0\0" + b"\x5a" * 200_001)
    parts += section(0x55AAF11F, b"bootconf.txt" + bytes(4) + settings)
    return parts + b"\xff" * (eeprom.SIZE - len(parts))


def files(folder: Path, built: int = NEW) -> Path:
    """What a recipe names: an image with `recovery.bin` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recovery.bin").write_bytes(b"recovery" * 12_000)
    path = folder / "pieeprom.bin"
    path.write_bytes(image(built))
    return path


def card(folder: Path, carried: Path | None, model: Model = PI4, *, state: State | None = None) -> Path:
    """A card that the model of the firmware boots."""
    firmware = folder / "firmware"
    firmware.mkdir(parents=True, exist_ok=True)
    (firmware / "bootcode.bin").write_bytes(b"boot loader")
    layout = plan_card(select=16 * MIB, boot=8 * MIB, root=MIB, data=40 * MIB, digest="test")
    boot, select, root, out = (folder / name for name in ("boot", "select", "root", "card.img"))
    text = b"arm_64bit=1\nkernel=vmlinuz\nupstream_kernel=1\n"
    content: dict[str, Path | bytes] = {"config.txt": text, "vmlinuz": b"kernel", model.device_tree: b"tree"}
    write_fat(boot, {**content, **dict.fromkeys(model.firmware, b"firmware")}, size=8 * MIB, label="BOOT", epoch=0)
    write_select(select, board=RPI, firmware=firmware, epoch=0, pi=Pi(eeprom=carried), state=state)
    root.write_bytes(bytes(100_000))
    write_disk(out, layout=layout, select=select, boot=boot, root=root, digest="test", epoch=0)
    return out


def disk(path: Path, *, trial: bool = False) -> Disk:
    """The card as the device finds it, running from slot a."""
    return disks.in_image(path, Note(slot=Slot.A, root_device="", hash="", trial=trial, selector="autoboot"))


def tree(folder: Path, built: int | None, model: str = "raspberrypi,4-model-b") -> Path:
    """The device tree that the boot loader of this day leaves."""
    place = folder / "chosen/bootloader"
    place.mkdir(parents=True, exist_ok=True)
    (folder / "compatible").write_bytes(model.encode() + b"\0brcm,bcm2711\0")
    if built is not None:
        (place / "build-timestamp").write_bytes(struct.pack(">I", built))
    return folder
