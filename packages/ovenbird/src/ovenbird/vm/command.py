"""The command line of QEMU for a board: what is plugged in, and how it boots."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ovenbird.boards import Firmware, VirtualMachine
from ovenbird.errors import HostError
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.network import ADDRESS, Forward


class Boot(StrEnum):
    """What starts the guest."""

    UEFI = "uefi"
    BIOS = "bios"
    KERNEL = "kernel"  # QEMU itself loads kernel and initrd


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that QEMU loads by itself, past any firmware's choice."""

    image: Path
    initrd: Path
    cmdline: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How a machine is to be run."""

    virtual: VirtualMachine
    boot: Boot = Boot.UEFI
    kernel: Kernel | None = None
    memory: str | None = None  # as QEMU takes it; None: what the board needs
    processors: int | None = None
    forwards: tuple[Forward, ...] = ()
    credentials: Mapping[str, str] = field(default_factory=dict[str, str])
    """systemd's credentials for the guest, by name."""
    display: bool = False
    reboots: bool = True
    """Whether the guest may start again by itself; if not, its reboot ends the machine."""
    extra: tuple[str, ...] = ()
    """Further words for QEMU."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one machine, all in a folder of its own."""

    folder: Path

    @property
    def log(self) -> Path:
        """All that the guest wrote to its serial console."""
        return self.folder / "serial.log"

    @property
    def serial(self) -> Path:
        """The socket of the serial console."""
        return self.folder / "serial"

    @property
    def control(self) -> Path:
        """The socket for QMP."""
        return self.folder / "control"

    @property
    def variables(self) -> Path:
        """The UEFI firmware's variable store."""
        return self.folder / "variables.fd"

    @property
    def messages(self) -> Path:
        """What QEMU itself says."""
        return self.folder / "qemu.log"

    def credential(self, name: str) -> Path:
        """A file for one credential, so that no list of processes shows it."""
        return self.folder / f"credential-{name}"


def firmware(virtual: VirtualMachine) -> Firmware:
    """The first UEFI firmware of the board's list that is installed. Raises HostError."""
    for candidate in virtual.firmware:
        if Path(candidate.code).is_file() and Path(candidate.variables).is_file():
            return candidate
    raise HostError(
        "there is no UEFI firmware for virtual machines here",
        hint=f"sudo apt-get install {virtual.firmware_package}",
    )


def command(
    settings: Settings, files: Files, disks: Sequence[tuple[Path, str]], accelerator: Accelerator
) -> list[str | Path]:
    """The words that start QEMU. `disks` are files with their format (`raw`, `qcow2`)."""
    virtual = settings.virtual
    software = accelerator is Accelerator.TCG
    # Emulation of several processors is no faster for a boot and much less predictable.
    processors = settings.processors or (1 if software else min(4, os.cpu_count() or 1))
    words: list[str | Path] = [
        virtual.program,
        "-name", "ovenbird",
        "-nodefaults",
        "-machine", virtual.machine,
        "-accel", accelerator,
        "-cpu", virtual.cpu if software else "host",
        "-smp", str(processors),
        "-m", settings.memory or virtual.memory,
        "-chardev", f"socket,id=serial,path={files.serial},server=on,wait=off,logfile={files.log},logappend=on",
        "-serial", "chardev:serial",
        "-qmp", f"unix:{files.control},server=on,wait=off",
        "-netdev", ",".join(["user", "id=net", *(_forward(forward) for forward in settings.forwards)]),
        "-device", f"{virtual.network},netdev=net",
    ]  # fmt: skip
    if settings.display:
        words += virtual.screen
    else:
        words += ["-vga", "none", "-display", "none"]
    if settings.boot is Boot.UEFI:
        words += [
            "-drive", f"if=pflash,format=raw,readonly=on,file={firmware(virtual).code}",
            "-drive", f"if=pflash,format=raw,file={files.variables}",
        ]  # fmt: skip
    if settings.kernel is not None:
        words += [
            "-kernel",
            settings.kernel.image,
            "-initrd",
            settings.kernel.initrd,
            "-append",
            settings.kernel.cmdline,
        ]
    for number, (disk, kind) in enumerate(disks):
        # What is lost when this machine itself fails is not the guest's affair, so its flushes need not reach our disk.
        words += ["-drive", f"if=none,id=disk{number},format={kind},cache=unsafe,discard=unmap,file={disk}"]
        order = "" if settings.kernel is not None else f",bootindex={number}"
        words += ["-device", f"{virtual.disk},drive=disk{number}{order}"]
    for device in virtual.devices:
        words += ["-device", device]
    for name in settings.credentials:
        # https://systemd.io/CREDENTIALS: SMBIOS strings of type 11
        words += ["-smbios", f"type=11,path={files.credential(name)}"]
    if not settings.reboots:
        words.append("-no-reboot")
    return [*words, *settings.extra]


def _forward(forward: Forward) -> str:
    return f"hostfwd=tcp:{ADDRESS}:{forward.host}-:{forward.guest}"
