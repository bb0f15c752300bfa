"""What the firmware of a Raspberry Pi reads: a slot's boot partition with `config.txt`, and the card's `select`.

Both slots take the same bytes, so nothing on a boot partition tells which one it is; the initrd learns that from the
firmware. `tryboot.txt` is `config.txt` once more: firmware that forgets about `tryboot_a_b` reads that one
(rpi-eeprom, issue 504).

Source of every entry: Raspberry Pi documentation, "config.txt".
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.boards import Board
from ovenbird.boards.board import Model
from ovenbird.errors import ImageError
from ovenbird.image.fat import write_fat
from ovenbird.image.layout import CARD_SELECT_SIZE
from ovenbird.recipe.pi import CAMERA_MEMORY, CHANNELS, Pi
from ovenbird.run import run
from ovenbird_device.format import FormatError, autoboot, cmdline, eeprom, fat
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import State

OVERLAYS = Path(__file__).with_name("overlays")
WORDS = ("ovenbird.root=autoboot", "ovenbird.data=autoboot")
"""In place of what GRUB would tell: root and data are on the disk whose `select` has our `autoboot.txt`."""
CUT_DOWN = 16
"""With this little memory, in MiB, the firmware starts its small programs (`gpu_mem`)."""
_FAMILIES = {"pi0": "ovenbird", "pi2": "ovenbird", "pi3": "ovenbird", "pi4": "ovenbird-pi4"}
"""The overlay of ours that each family of models wants."""
_FUNCTIONS = {12: 4, 13: 4, 18: 2, 19: 2}
"""What makes a pin carry PWM (BCM2835 ARM Peripherals, 6.2: 4 is ALT0, 2 is ALT5)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a boot partition: kernel and initrd, and the folders of firmware and device trees."""

    kernel: Path
    initrd: Path
    firmware: Path
    device_trees: Path


def config(board: Board, pi: Pi) -> str:
    """The text of `config.txt`."""
    wide = board.architecture == "arm64"
    lines = [
        "# Written by Ovenbird; [pi] of the recipe says what is in it.",
        "[all]",
        f"arm_64bit={int(wide)}",
        "kernel=vmlinuz",
        "initramfs initrd followkernel",
        "upstream_kernel=1",
        f"enable_uart={int(pi.uart)}",
    ]
    if pi.camera:
        lines.append("start_x=1")
    if memory := pi.gpu_memory or (CAMERA_MEMORY if pi.camera else None):
        lines.append(f"gpu_mem={memory}")
    for section, overlay in _FAMILIES.items():
        lines += [f"[{section}]", f"dtoverlay={overlay}"]
    lines.append("[all]")
    lines += [f"dtparam={one}" for one in pi.parameters]
    if pi.pwm:
        lines.append("dtoverlay=ovenbird-pwm")
    lines += [f"dtoverlay={_overlay_name(one)}" for one in pi.overlays]
    lines += pi.lines
    return "\n".join(lines) + "\n"


def _overlay_name(overlay: str) -> str:
    """As config.txt names it: a file's name without its ending, then the parameters."""
    name, *parameters = overlay.split(",")
    return ",".join([Path(name).stem if name.endswith((".dtbo", ".dts")) else name, *parameters])


def overlay_files(pi: Pi) -> dict[str, Path]:
    """The overlays of the recipe that are files, by their names in config.txt."""
    paths = (Path(one.split(",")[0]) for one in pi.overlays)
    return {path.stem: path for path in paths if path.suffix in (".dtbo", ".dts")}


def write_boot(
    out: Path, *, board: Board, pi: Pi, parts: Parts, arguments: Sequence[str], size: int, epoch: int
) -> None:
    """Write the boot image of a slot; `arguments` are the kernel's, `size` is in bytes.

    Raises ImageError if the files do not fit, an argument would not arrive, or something of a model's or an overlay is
    missing.
    """
    try:
        line = " ".join((*WORDS, cmdline.for_grub(arguments)))
    except FormatError as error:
        raise ImageError(str(error), hint="look at `cmdline` in [boot] of the recipe") from error
    text = config(board, pi).encode("ascii")
    files: dict[str, Path | bytes] = {
        "config.txt": text,
        "tryboot.txt": text,
        "cmdline.txt": line.encode("ascii") + b"\n",
        "vmlinuz": kernel_image(parts.kernel),
        "initrd": parts.initrd,
    }
    for model in board.models:
        files[model.device_tree] = _needed(parts.device_trees, model.device_tree, "device tree", model)
        for name in _programs(model.firmware, pi):
            files[name] = _needed(parts.firmware, name, "firmware file", model)
    with tempfile.TemporaryDirectory(prefix="ovenbird-overlays-") as scratch:
        for name, overlay in _overlays(pi, parts.firmware / "overlays", Path(scratch)).items():
            files[f"overlays/{name}.dtbo"] = overlay
        write_fat(out, files, size=size, label="BOOT", epoch=epoch)


def _needed(folder: Path, name: str, what: str, model: Model) -> Path:
    """A file that a model starts with. Raises ImageError if it is not there."""
    if not (folder / name).is_file():
        raise ImageError(
            f"the {what} {name} is missing, which {model.name} starts with",
            hint="the board's packages do not have it: look at `sources` and `release` in [base] of the recipe",
        )
    return folder / name


def kernel_image(kernel: Path) -> bytes:
    """The kernel as the firmware loads it fastest: a bare 64-bit image is packed, which is a third to read.

    ("arm_64bit": the firmware knows a gzip archive by its first bytes. The header: Linux, arch/arm64/boot.rst.)
    """
    content = kernel.read_bytes()
    return gzip.compress(content, 6, mtime=0) if content[56:60] == b"ARM\x64" else content


def _programs(firmware: Sequence[str], pi: Pi) -> tuple[str, ...]:
    """The program and its memory map, and those that `start_x=1` and little memory start in their place."""
    names = list(firmware)
    wanted = [*(["x"] if pi.camera else []), *(["cd"] if pi.gpu_memory == CUT_DOWN else [])]
    for kind in wanted:
        for name in firmware:
            stem, _, ending = name.rpartition(".")
            names.append(f"{stem}{kind}.{ending}" if stem[-1].isdigit() else f"{stem}_{kind}.{ending}")
    return tuple(names)


def _overlays(pi: Pi, packaged: Path, scratch: Path) -> dict[str, Path]:
    """Every overlay that config.txt names, compiled where it is a source. Raises ImageError for one that there is
    not: Debian's packages have few, for its kernel is not the one that most are made for.
    """
    sources = {name: OVERLAYS / f"{name}.dts" for name in _FAMILIES.values()} | overlay_files(pi)
    if pi.pwm:
        sources["ovenbird-pwm"] = scratch / "ovenbird-pwm.dts"
        sources["ovenbird-pwm"].write_text(pwm_source(pi.pwm), encoding="ascii")
    for one in pi.overlays:
        name = _overlay_name(one).split(",")[0]
        if name not in sources:
            sources[name] = packaged / f"{name}.dtbo"
            if not sources[name].is_file():
                there = ", ".join(sorted(file.stem for file in packaged.glob("*.dtbo"))) or "none"
                raise ImageError(
                    f'there is no overlay "{name}" in Debian\'s packages (they have: {there})',
                    hint="name a file: one that you have (.dtbo), or its source (.dts)",
                )
    return {name: _compiled(source, scratch / f"{name}.dtbo") for name, source in sources.items()}


def _compiled(source: Path, out: Path) -> Path:
    if source.suffix != ".dts":
        return source
    run(["dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", out, source], what=f"compiling the overlay {source.name}")
    return out


def pwm_source(pins: Sequence[int]) -> str:
    """The source of an overlay that gives pins to their PWM channels."""
    ordered = sorted(pins, key=lambda pin: CHANNELS[pin])
    numbers = " ".join(str(pin) for pin in ordered)
    functions = " ".join(str(_FUNCTIONS[pin]) for pin in ordered)
    return f"""/dts-v1/;
/plugin/;
/ {{
	compatible = "brcm,bcm2835";
	fragment@0 {{
		target = <&gpio>;
		__overlay__ {{
			ovenbird_pwm: ovenbird-pwm {{
				brcm,pins = <{numbers}>;
				brcm,function = <{functions}>;
			}};
		}};
	}};
	fragment@1 {{
		target = <&pwm>;
		__overlay__ {{
			pinctrl-names = "default";
			pinctrl-0 = <&ovenbird_pwm>;
			status = "okay";
		}};
	}};
}};
"""


def write_select(
    out: Path,
    *,
    board: Board,
    firmware: Path,
    epoch: int,
    pi: Pi | None = None,
    size: int = CARD_SELECT_SIZE,
    state: State | None = None,
) -> None:
    """Write the card's first partition: the selector, and the boot loader of the models that have it on the card.
    For those that have it in an EEPROM, the one that the recipe names is carried, asking for nothing.

    The selector's sector is the first of the volume's data, where the initrd looks for it. An empty config.txt is what
    the boot loader of the Pi 3 wants to see (reported in Raspberry Pi's forum; the documentation does not say so).
    """
    files: dict[str, Path | bytes] = {
        autoboot.NAME: autoboot.encode(state or State()),
        "config.txt": b"# The slots' own are on the next two partitions.\n",
    }
    for model in board.models:
        if model.bootcode:
            files["bootcode.bin"] = _needed(firmware, "bootcode.bin", "firmware file", model)
    if pi is not None and pi.eeprom is not None:
        files |= _eeprom_files(pi.eeprom)
    write_fat(out, files, size=size, label="SELECT", epoch=epoch)
    with out.open("rb") as stream:

        def read(offset: int, length: int) -> bytes:
            stream.seek(offset)
            return stream.read(length)

        volume = fat.Volume(read)
        if volume.find(autoboot.NAME).extents[0].offset != volume.data_offset:
            raise ImageError(f"{autoboot.NAME} does not lie at the beginning of its file system", where=str(out))
        if pi is not None and pi.eeprom is not None:
            eeprom.asking(read(volume.root_offset, SECTOR))  # what a device does in one sector lies in one


def _eeprom_files(image: Path) -> dict[str, Path | bytes]:
    """What a card carries for an EEPROM, by the names that mean nothing. Raises ImageError."""
    try:
        said = eeprom.read_image(image.read_bytes())
    except FormatError as error:
        raise ImageError(f"{image.name} is no boot loader for a Pi 4: {error}", where=str(image)) from error
    return {
        "EEPROM.UPD": image,
        "EEPROM.SIG": eeprom.write_signature(said),
        "EEPROM.REC": image.with_name(eeprom.RECOVERY),
    }


def eeprom_inputs(pi: Pi) -> Mapping[str, Path]:
    """The files of the recipe that go onto `select`, by name."""
    return {} if pi.eeprom is None else {"eeprom": pi.eeprom, eeprom.RECOVERY: pi.eeprom.with_name(eeprom.RECOVERY)}


def overlay_inputs(pi: Pi) -> Mapping[str, Path]:
    """The files that go into a boot partition beside those of packages, by name."""
    ours = {name: OVERLAYS / f"{name}.dts" for name in set(_FAMILIES.values())}
    return {**ours, **overlay_files(pi)}
