"""What a board is: everything that differs between kinds of machines, as plain facts.

A new board is one more module in this folder with a value named `BOARD`. Nothing else of Ovenbird asks for a board's
name; it asks for these facts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor architecture by the names that others give to it."""

    debian: str
    kernel: str  # as `uname -m` says it
    efi_program: str  # what the firmware starts from the ESP, UEFI specification 3.5.1.1


AMD64 = Architecture(debian="amd64", kernel="x86_64", efi_program="BOOTX64.EFI")


@dataclass(frozen=True, slots=True)
class Firmware:
    """One build of a virtual machine's UEFI firmware: the code, and the empty variable store that goes with it."""

    code: str
    variables: str


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """How QEMU stands in for the board. Each item of a list is one value of its option, without the dashes."""

    program: str
    machine: str
    cpu: str  # with software emulation; with KVM the host's own is used
    memory: str  # as QEMU takes it
    disk: str  # the device that carries the disk, without `drive=`
    network: str  # the device that carries the network, without `netdev=`
    devices: tuple[str, ...] = ()  # what else is plugged in
    firmware: tuple[Firmware, ...] = ()  # the first one that is installed is used


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of machine."""

    name: str
    description: str
    cpu: Architecture
    kernel_packages: tuple[str, ...]
    boot_packages: tuple[str, ...]
    initrd_modules: tuple[str, ...]
    """Kernel modules for the initrd; one that a kernel has built in or does not have is no error."""
    console: tuple[str, ...]
    """Words of the kernel's command line; the last console is the one that programs see as /dev/console. Whatever else
    the kernel has to be told on this kind of machine stands before."""
    virtual: VirtualMachine
    base_packages: tuple[str, ...] = ()
    """What a system on this board needs beside what every system has."""
    boot_size: int = 64 << 20
    """Bytes of a slot's boot partition, unless the recipe says otherwise."""

    @property
    def architecture(self) -> str:
        """The architecture by Debian's name."""
        return self.cpu.debian


# QEMU before 8.1 emulates cmpxchg16b with wrong flags, so that one boot in eight ends in an oops (seen with 7.2, Debian
# bookworm). Without that instruction the kernel takes another way. AVX2 is left out as it is emulated slowly: OpenSSL's
# SHA-256 made 27 MiB/s with it and 70 without, in one guest.
EMULATED_CPU = "max,-cx16,-avx2"
# Debian calls the firmware with 4 MiB of flash "4M" since bookworm; other distributions have it elsewhere.
OVMF = (
    Firmware("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    Firmware("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    Firmware("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)
# Booting by BIOS and by UEFI; the names are those of bookworm and of trixie.
GRUB_PACKAGES = ("grub-efi-amd64-bin", "grub-pc-bin")
# What our root needs whatever it is on: the file systems of root, data and /etc, and the checksum that ext4 asks the
# kernel's crypto interface for.
FILE_SYSTEMS = ("squashfs", "overlay", "ext4", "crc32c_generic")
