"""A Raspberry Pi with its card: the firmware's model reads it at each boot, and QEMU starts exactly what it has read.

`raspi3b` has the real thing's card reader, watchdog and mailbox, but no network that Debian's kernel likes; `virt`
stands in for the rest of the board. What the firmware would put into the device tree is put there, and what only the
stand-in needs, on the command line. Every restart of the guest ends QEMU, so that the model reads the card anew.

Whether a restart asked for a trial is seen in two ways, as two kinds of kernels do it: on `raspi3b` by the request that
reached the mailbox (QEMU tells of requests that it does not know), on `virt`, which has no mailbox, by the argument of
reboot(2), which the kernel repeats on its console.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovenbird.boards import board
from ovenbird.boards.board import Model
from ovenbird.files import copy_sparse
from ovenbird.run import run
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Kernel, Settings
from ovenbird.vm.machine import Machine
from ovenbird.vm.network import Forward
from tests.vm.pi.firmware import Card, Firmware, Started

RPI = board("rpi")
PI3 = RPI.models[0]
PI4 = next(model for model in RPI.models if model.name == "Raspberry Pi 4 Model B")
SET_REBOOT_FLAGS = "0x00038064"
MIB = 1 << 20


@dataclass(frozen=True)
class Stand:
    """What of QEMU stands in for the board."""

    name: str
    words: tuple[str, ...]
    line: str
    """What its kernel has to be told besides. Of four emulated processors on a busy host, one waits for the others."""


RASPI3B = Stand("raspi3b", ("-machine", "raspi3b", "-m", "1G", "-smp", "4"), "maxcpus=1")
VIRT = Stand("virt", ("-machine", "virt", "-cpu", "cortex-a57", "-m", "1G", "-smp", "1"), "console=ttyAMA0,115200")


class Pi(Machine):
    """One board. Its card is a copy that it writes to; the firmware's flag outlives a restart, but not the power."""

    def __init__(
        self,
        image: Path,
        card: Path,
        *,
        stand: Stand = VIRT,
        model: Model = PI3,
        built: int | None = None,
        forwards: Sequence[Forward] = (),
        words: str = "",
    ) -> None:
        """`built` is when the EEPROM's boot loader was built; `words` are added to the command line."""
        if not card.exists():
            size = image.stat().st_size
            power = 1 << (size - 1).bit_length()  # what QEMU wants of an SD card
            copy_sparse(image, card, power)
        super().__init__(
            Settings(RPI.virtual, Boot.KERNEL, reboots=False, forwards=tuple(forwards)),
            [card],
            keep=card,
            growth=0,
            accelerated=Accelerator.TCG,
            start=False,
        )
        self.card = card
        self.stand = stand
        self.built = built
        self.more = words
        self.also: tuple[Path, ...] = ()
        """Further disks that are plugged in, on `virt`."""
        self.firmware = Firmware(Card(card), model)
        self.started_with: Started | None = None

    # --- power ---

    def boot(self) -> Started:
        """Switch on, or go on after a restart: the firmware reads the card, the kernel starts."""
        assert not self.running
        found = self.firmware.boot()
        self.started_with = found
        folder = self.files.folder
        kernel, initrd, tree = folder / "kernel", folder / "initramfs", folder / "tree.dtb"
        kernel.write_bytes(found.kernel)
        initrd.write_bytes(found.initramfs or b"")
        self._tree(found, tree)
        # What stands behind a `--` is for init.
        line = " ".join([found.cmdline, self.stand.line, *([self.more] if self.more else [])])
        self.settings = replace(self.settings, kernel=Kernel(kernel, initrd, line))
        (folder / "requests").unlink(missing_ok=True)
        self.power_on()
        return found

    def _tree(self, found: Started, out: Path) -> None:
        """The device tree as the firmware hands it over: with the overlays, and with what it says of this boot."""
        folder = self.files.folder
        base = folder / "base.dtb"
        if self.stand is VIRT:
            # None of the Pi's devices is there, so neither tree nor overlays of the card can be used.
            run(["qemu-system-aarch64", *VIRT.words, "-machine", f"dumpdtb={base}", "-display", "none"])
            out.write_bytes(base.read_bytes())
        else:
            base.write_bytes(found.device_tree)
            overlays: list[Path] = []
            for number, (_, content) in enumerate(found.overlay_files.items()):
                overlays.append(folder / f"overlay{number}.dtbo")
                overlays[-1].write_bytes(content)
            run(["fdtoverlay", "-i", base, "-o", out, *overlays])
        said = {"partition": found.partition, "tryboot": int(found.tryboot), "boot-mode": 1}
        if self.built is not None:
            said["build-timestamp"] = self.built
        for name, value in said.items():
            run(["fdtput", "-p", "-t", "u", out, "/chosen/bootloader", name, str(value)])

    def words(self, disks: Sequence[tuple[Path, str]], accelerator: Accelerator) -> list[str | Path]:
        """As `Machine.words`."""
        kernel = self.settings.kernel
        assert kernel is not None
        files = self.files
        words: list[str | Path] = [
            "qemu-system-aarch64", *self.stand.words, "-accel", "tcg", "-display", "none", "-no-reboot",
            "-chardev", f"socket,id=serial,path={files.serial},server=on,wait=off,logfile={files.log},logappend=on",
            "-qmp", f"unix:{files.control},server=on,wait=off",
            "-kernel", kernel.image, "-initrd", kernel.initrd, "-append", kernel.cmdline,
            "-dtb", files.folder / "tree.dtb",
        ]  # fmt: skip
        if self.stand is VIRT:
            forwards = [f"hostfwd=tcp:127.0.0.1:{one.host}-:{one.guest}" for one in self.settings.forwards]
            words += [
                "-nodefaults", "-serial", "chardev:serial", "-device", "virtio-rng-pci",
                "-netdev", ",".join(["user", "id=net", *forwards]), "-device", "virtio-net-pci,netdev=net",
                "-drive", f"if=none,id=card,format=raw,cache=unsafe,file={self.card}",
                "-device", "virtio-blk-pci,drive=card",
            ]  # fmt: skip
            for number, disk in enumerate(self.also):
                words += ["-drive", f"if=none,id=also{number},format=raw,file={disk}"]
                words += ["-device", f"virtio-blk-pci,drive=also{number}"]
        else:
            words += [
                "-serial", "null", "-serial", "chardev:serial",  # the small one is on the Pi 3's pins
                "-drive", f"if=sd,format=raw,cache=unsafe,file={self.card}",
                "-d", "unimp", "-D", files.folder / "requests",
            ]  # fmt: skip
        return words

    def restarted(self, timeout: float) -> bool:
        """Wait until the guest restarts, and keep what the firmware keeps over that. Tells whether it did."""
        if not self.wait_off(timeout):
            return False
        self.firmware.flag = self.asked_for_trial()
        return True

    def asked_for_trial(self) -> bool:
        """Whether the firmware was asked for a trial since it was switched on."""
        if self.stand is RASPI3B:
            requests = self.files.folder / "requests"
            return requests.exists() and SET_REBOOT_FLAGS in requests.read_text("utf-8", "replace").lower()
        return re.search(r"reboot: Restarting system with command '0 tryboot'", self.console) is not None

    def pull_plug(self) -> None:
        """Take the power away: the flag goes with it."""
        self.power_cut()
        self.firmware.flag = False
