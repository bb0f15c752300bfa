"""A model of the Raspberry Pi's firmware: from a card to what the processor is started with.

It reads the card with mtools and its own few lines, nothing of Ovenbird's, and does what the documents say. Each rule
has its source: [config] is the Raspberry Pi documentation, chapter "config.txt", [boot] its chapter "Raspberry Pi
hardware" ("boot flow", "Boot folder contents"), [tree] "Device trees, overlays, and parameters", [notes] the file
firmware-2711/release-notes.md of rpi-eeprom.

    autoboot.txt -> boot partition -> config.txt -> firmware, kernel, initramfs, device tree, overlays, cmdline.txt
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird.boards.board import Model

SECTOR = 512
FAT_TYPES = (0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E)  # [config] boot_partition: "FAT12, FAT16 or FAT32"
LINE = 98  # [config] "File format": characters past this limit are ignored
AUTOBOOT = 512  # [config] autoboot.txt "is limited to 512 bytes"
SEES = {
    # [config] "Conditional filters": which model sees which sections.
    "pi2": ("pi2",),
    "pi3": ("pi3",),
    "pi3+": ("pi3", "pi3+"),
    "pi02": ("pi0", "pi0w", "pi02"),
    "pi4": ("pi4",),
    "pi400": ("pi4", "pi400"),
    "cm4": ("pi4", "cm4"),
}
MODEL_SECTIONS = {"pi1", "pi2", "pi3", "pi3+", "pi4", "pi400", "cm4", "cm4s", "pi5", "cm5", "pi0", "pi0w", "pi02"}
DOWNSTREAM = {"bcm2836": "bcm2709", "bcm2837": "bcm2710"}
"""[config] upstream_kernel: what the device trees of the foundation's kernel are called instead."""


HALF_WRITTEN = b""


class DoesNotBootError(Exception):
    """The firmware stops here; a real one blinks or shows this on its screen."""


class PowerCutError(Exception):
    """The plug was pulled."""


@dataclass(frozen=True)
class Started:
    """What the processor is started with."""

    partition: int
    tryboot: bool
    config: dict[str, str]
    overlays: tuple[str, ...]
    """`NAME[,PARAMETER=VALUE…]` of the overlays that are loaded, in order, with `dtparam` lines added to them."""
    parameters: tuple[str, ...]
    """`dtparam` of the base tree."""
    cmdline: str
    kernel: bytes
    initramfs: bytes | None
    device_tree: bytes
    overlay_files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    program: str = ""
    """The firmware's own file."""


@dataclass
class Card:
    """The card, by the numbers that the firmware uses: the four entries of its MBR."""

    path: Path

    def partitions(self) -> dict[int, int]:
        """Number of a FAT partition -> its offset in bytes."""
        with self.path.open("rb") as card:
            table = card.read(SECTOR)
        if table[510:] != b"\x55\xaa":
            raise DoesNotBootError("the card has no partition table")
        found: dict[int, int] = {}
        for number in range(4):
            entry = table[446 + 16 * number : 462 + 16 * number]
            start, length = struct.unpack_from("<II", entry, 8)
            if entry[4] in FAT_TYPES and length:
                found[number + 1] = start * SECTOR
        return found

    def read(self, partition: int, name: str) -> bytes | None:
        """A file of a FAT partition; None if there is none, or no file system."""
        place = self.partitions().get(partition)
        if place is None:
            return None
        # `mtype` would end at nothing; mcopy writes what there is to its output.
        done = self._mtools("mcopy", "-n", "-i", f"{self.path}@@{place}", f"::/{name.lstrip('/')}", "-")
        return done.stdout if done.returncode == 0 else None

    def rename(self, partition: int, name: str, new: str) -> None:
        """Give a file another name."""
        place = self.partitions()[partition]
        self._mtools("mren", "-i", f"{self.path}@@{place}", f"::/{name}", f"::/{new}").check_returncode()

    @staticmethod
    def _mtools(*command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            env={"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null", "PATH": "/usr/bin:/bin"},
        )


class Filters:
    """[config] "Combining conditional filters": filters of one type replace each other, others add up; [all] resets."""

    def __init__(self, section: str, *, tryboot: bool, partition: int | None, serial: int = 0) -> None:
        self._seen = SEES[section]
        self._tryboot = tryboot
        self._partition = partition
        self._serial = serial
        self._state: dict[str, bool] = {}

    def enter(self, name: str) -> None:
        """A line with a filter, without its brackets."""
        if name == "all":
            self._state = {}
        elif name == "none":
            self._state["none"] = False
        elif name in MODEL_SECTIONS:
            self._state["model"] = name in self._seen
        elif name == "tryboot":
            self._state["tryboot"] = self._tryboot
        elif name.startswith("boot_partition=") and self._partition is not None:
            self._state["expression"] = int(name.partition("=")[2], 0) == self._partition
        elif name.startswith("0x"):
            self._state["serial"] = int(name, 16) == self._serial
        elif name.startswith("gpio"):
            self._state["gpio"] = name.endswith("=0")  # nothing is plugged in
        elif name.startswith(("EDID=", "HDMI:")):
            self._state["edid"] = False  # no monitor
        else:
            raise DoesNotBootError(f"no document says what [{name}] means")

    @property
    def apply(self) -> bool:
        """Whether the lines that follow count."""
        return all(self._state.values())


@dataclass
class Firmware:
    """One board with a card in it. `flag` is the one-shot flag; `boot` forgets it."""

    card: Card
    model: Model
    flag: bool = False
    knows_tryboot_section: bool = True
    """[notes] 2022-10-18; boot loaders before that take the section's lines for everybody's."""
    eeprom: bytes | None = None
    """What is in it, where a test cares. Half-written, it starts nothing."""
    cut_while_flashing: bool = False
    """Pull the plug when it is half written, once."""

    def boot(self) -> Started:
        """Power on, or reset. Raises DoesNotBootError where a Pi would stop."""
        if self.eeprom is not None:
            self._rom()
        tryboot, self.flag = self.flag, False  # [boot] "The flag is cleared before starting the firmware"
        if self.model.bootcode and self.card.read(min(self.card.partitions(), default=0), "bootcode.bin") is None:
            # [boot] legacy boot flow: the ROM looks for it on the first FAT partition.
            raise DoesNotBootError("there is no bootcode.bin on the first partition")
        asked, a_b = self._autoboot(tryboot)
        partition = self._partition(asked)
        # [boot] "tryboot_a_b mode": config.txt in place of tryboot.txt.
        name = "tryboot.txt" if tryboot and not a_b else "config.txt"
        return self._start(partition, name, tryboot)

    # --- the ROM and the EEPROM ---

    def _rom(self) -> None:
        """[boot] "EEPROM boot flow", "First stage": recovery.bin of the SD card comes before what is in the EEPROM.

        [boot] "recovery.bin" has it "in the root directory of the boot partition"; to a ROM, which knows nothing of
        autoboot.txt, that is the first one (documentation, pull request 1270: "in the first partition").
        [boot] "Update the bootloader": the ROM of a CM4 does not load it.
        """
        if self.model.section in ("pi4", "pi400") and self.card.read(1, "recovery.bin"):
            self._recover()
        if self.eeprom == HALF_WRITTEN:
            raise DoesNotBootError("there is no boot loader in the EEPROM")

    def _recover(self) -> None:
        """[boot] "Bootloader update files": the sum is looked at; when all is done, `recovery.bin` becomes `.000`."""
        image, signature = self.card.read(1, "pieeprom.upd"), self.card.read(1, "pieeprom.sig")
        if image is not None:
            lines = (signature or b"").decode("ascii").splitlines()
            if not lines or lines[0] != hashlib.sha256(image).hexdigest():
                raise DoesNotBootError("bad signature pieeprom.upd")
            if self.cut_while_flashing:
                self.eeprom, self.cut_while_flashing = HALF_WRITTEN, False
                raise PowerCutError
            self.eeprom = image
        self.card.rename(1, "recovery.bin", "recovery.000")
        self.flag = False  # [boot] "then the system is rebooted": the flag was for one boot

    # --- which partition ---

    def _autoboot(self, tryboot: bool) -> tuple[int, bool]:
        """[config] "autoboot.txt": on the first partition, at most 512 bytes, three filters."""
        text = self.card.read(1, "autoboot.txt")
        if text is None or len(text) > AUTOBOOT:
            return 0, False
        settings: dict[str, str] = {}
        applies = True
        for line in _lines(text):
            if line.startswith("["):
                known = {"[all]": True, "[none]": False}
                if self.knows_tryboot_section:
                    known["[tryboot]"] = tryboot
                applies = known.get(line, applies)
            elif applies and "=" in line:
                name, _, value = line.partition("=")
                settings[name] = value
        return _integer(settings.get("boot_partition", "0")), settings.get("tryboot_a_b") == "1"

    def _bootable(self, partition: int) -> bool:
        """[config] boot_partition: it must "contain a start.elf file", which is start4.elf on a Pi 4."""
        return self.card.read(partition, self.model.firmware[0]) is not None

    def _partition(self, asked: int) -> int:
        """[config]: 0 is "the first bootable FAT partition"; [notes] 2022-10-18: so is one that cannot be booted."""
        if asked and self._bootable(asked):
            return asked
        for number in self.card.partitions():
            if self._bootable(number):
                return number
        raise DoesNotBootError(f"no partition has {self.model.firmware[0]}")

    # --- what is on it ---

    def _start(self, partition: int, name: str, tryboot: bool) -> Started:
        filters = Filters(self.model.section, tryboot=tryboot, partition=partition)
        settings: dict[str, str] = {}
        overlays: list[str] = []
        parameters: list[str] = []
        for key, value in self._settings(partition, name, filters):
            if key == "dtoverlay":
                overlays.append(value)  # [tree] "dtoverlay=" ends the scope of the one before
            elif key == "dtparam":
                # [tree] Parameters belong to the overlay before them, else to the base tree.
                if overlays and overlays[-1]:
                    overlays[-1] += f",{value}"
                else:
                    parameters.append(value)
            else:
                settings[key] = value
        program = self._program(settings)
        if self.card.read(partition, program) is None:
            raise DoesNotBootError(f"{program} is not on partition {partition}")
        prefix = self._prefix(partition, settings)
        kernel = self._file(partition, prefix, self._kernel_name(settings))
        initramfs = self._initramfs(partition, prefix, settings)
        cmdline = self._optional(partition, prefix, settings.get("cmdline", "cmdline.txt")) or b""
        tree = self._device_tree(partition, prefix, settings)
        wanted = [one for one in overlays if one]
        files = {one.split(",")[0]: self._overlay(partition, settings, one) for one in wanted}
        return Started(
            partition=partition,
            tryboot=tryboot,
            config=settings,
            overlays=tuple(wanted),
            parameters=tuple(parameters),
            cmdline=cmdline.decode("ascii").split("\n")[0].strip(),  # one line
            kernel=kernel,
            initramfs=initramfs,
            device_tree=tree,
            overlay_files=files,
            program=program,
        )

    def _settings(self, partition: int, name: str, filters: Filters) -> Iterator[tuple[str, str]]:
        """[config] "File format" and "include": name and value of each line that applies, in order."""
        text = self.card.read(partition, name)
        for line in _lines(text or b""):
            if line.startswith("[") and line.endswith("]"):
                filters.enter(line[1:-1])
            elif not filters.apply:
                continue
            elif line.startswith("include "):
                yield from self._settings(partition, line.split()[1], filters)
            elif line.startswith(
                "initramfs "
            ):  # [config] initramfs: "uses different syntax from all the other options"
                yield "initramfs", line.split(maxsplit=1)[1]
            elif "=" in line:
                key, _, value = line.partition("=")
                yield key, value

    def _program(self, settings: dict[str, str]) -> str:
        """[config] start_file, start_x, start_debug, and gpu_mem=16, which starts the cut-down one."""
        plain = self.model.firmware[0]
        stem = plain.removesuffix(".elf")
        joined = stem if stem[-1].isdigit() else f"{stem}_"
        if "start_file" in settings:
            return settings["start_file"]
        if settings.get("start_x") == "1":
            return f"{joined}x.elf"
        if settings.get("start_debug") == "1":
            return f"{joined}db.elf"
        return f"{joined}cd.elf" if settings.get("gpu_mem") == "16" else plain

    def _kernel_name(self, settings: dict[str, str]) -> str:
        """[config] kernel, arm_64bit."""
        if "kernel" in settings:
            return settings["kernel"]
        if settings.get("arm_64bit") == "1":
            return "kernel8.img"
        return "kernel7l.img" if self.model.section in ("pi4", "pi400", "cm4") else "kernel7.img"

    def _prefix(self, partition: int, settings: dict[str, str]) -> str:
        """[config] os_prefix: ignored unless kernel and device tree are found with it; upstream_kernel sets one."""
        prefix = settings.get("os_prefix", "upstream/" if settings.get("upstream_kernel") == "1" else "")
        if not prefix:
            return ""
        kernel = self.card.read(partition, prefix + self._kernel_name(settings))
        trees = [self.card.read(partition, prefix + name) for name in self._tree_names(settings)]
        return prefix if kernel is not None and any(tree is not None for tree in trees) else ""

    def _tree_names(self, settings: dict[str, str]) -> list[str]:
        """[config] upstream_kernel: Linux' own name first, else the foundation's."""
        if "device_tree" in settings:
            return [settings["device_tree"]]
        upstream = self.model.device_tree
        chip = upstream.split("-")[0]
        downstream = upstream.replace(chip, DOWNSTREAM.get(chip, chip), 1)
        return [upstream, downstream] if settings.get("upstream_kernel") == "1" else [downstream]

    def _device_tree(self, partition: int, prefix: str, settings: dict[str, str]) -> bytes:
        for name in self._tree_names(settings):
            if (found := self._optional(partition, prefix, name)) is not None:
                return found
        raise DoesNotBootError(f"there is no device tree {self._tree_names(settings)[0]}")

    def _initramfs(self, partition: int, prefix: str, settings: dict[str, str]) -> bytes | None:
        """[config] initramfs, ramfsfile: several files, with commas, are put together."""
        if "initramfs" in settings:
            names, *place = settings["initramfs"].split()
            if place != ["followkernel"]:
                raise DoesNotBootError("this model places an initramfs behind the kernel only")
        elif "ramfsfile" in settings:
            names = settings["ramfsfile"]
        else:
            return None
        return b"".join(self._file(partition, prefix, name) for name in names.split(","))

    def _overlay(self, partition: int, settings: dict[str, str], overlay: str) -> bytes:
        """[config] overlay_prefix. The prefix of the system's files counts only where there is a README with it."""
        folder = settings.get("overlay_prefix", "overlays/")
        name = f"{folder}{overlay.split(',')[0]}.dtbo"
        found = self._optional(partition, "", name)
        if found is None:
            raise DoesNotBootError(f"there is no overlay {name}")  # a real one goes on without; no card of ours may
        return found

    def _optional(self, partition: int, prefix: str, name: str) -> bytes | None:
        # [config] os_prefix: an absolute path bypasses all prefixes.
        return self.card.read(partition, name if name.startswith("/") else prefix + name)

    def _file(self, partition: int, prefix: str, name: str) -> bytes:
        found = self._optional(partition, prefix, name)
        if found is None:
            raise DoesNotBootError(f"there is no {prefix}{name} on partition {partition}")
        return found


def _lines(text: bytes) -> Iterator[str]:
    """The lines that say something, as far as they are read."""
    for line in text.decode("latin-1").splitlines():
        kept = line.rstrip()[:LINE]
        if kept and not kept.startswith("#"):
            yield kept


def _integer(text: str) -> int:
    return int(text, 0) if text.strip() else 0
