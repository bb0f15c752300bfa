"""What a board is: everything that differs between kinds of machines, as plain facts.

A new board is one more module in this folder with a value named `BOARD`. Nothing else of Ovenbird asks for a board's
name; it asks for these facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor architecture by the names that others give to it."""

    debian: str
    kernel: str  # as `uname -m` says it
    efi_program: str  # what the firmware starts from the ESP, UEFI specification 3.5.1.1

    @property
    def facts(self) -> Facts:
        """What else differs, by others' documents."""
        return FACTS[self.debian]


@dataclass(frozen=True, slots=True)
class Facts:
    """What of an architecture shows in a tree and in its programs."""

    triplet: str
    """Debian's multiarch name, which folders of libraries have (https://wiki.debian.org/Multiarch/Tuples)."""
    loader: str
    """The dynamic loader that programs name, without its folder (the psABI of each architecture)."""
    bits: int
    """Width of its addresses, which is the class of its ELF files."""
    elf: int
    """Machine of its ELF files (e_machine in elf(5))."""
    library: int
    """How ld.so.cache marks its libraries (glibc, sysdeps/generic/ldconfig.h: FLAG_* with FLAG_ELF_LIBC6)."""
    emulator: str
    """The program of qemu-user that runs it."""
    emulated: str
    """The processor that it plays; nothing is the newest that it knows. That one signs the return address of every
    function of arm64's Debian, which in software takes ten times what the function does."""
    grub: str
    """GRUB's platform for UEFI."""


FACTS = {
    "amd64": Facts("x86_64-linux-gnu", "ld-linux-x86-64.so.2", 64, 62, 0x0303, "qemu-x86_64", "", "x86_64-efi"),
    "arm64": Facts(
        "aarch64-linux-gnu", "ld-linux-aarch64.so.1", 64, 183, 0x0A03, "qemu-aarch64", "cortex-a72", "arm64-efi"
    ),
    "armhf": Facts("arm-linux-gnueabihf", "ld-linux-armhf.so.3", 32, 40, 0x0903, "qemu-arm", "", "arm-efi"),
}
AMD64 = Architecture("amd64", "x86_64", "BOOTX64.EFI")
ARM64 = Architecture("arm64", "aarch64", "BOOTAA64.EFI")
ARMHF = Architecture("armhf", "armv7l", "BOOTARM.EFI")
ARCHITECTURES = (AMD64, ARM64, ARMHF)


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
    firmware_package: str = "ovmf"  # the Debian package that brings it
    screen: tuple[str, ...] = ("-vga", "std")  # with a display: QEMU's words for a screen and what belongs to it


class Selector(StrEnum):
    """What names the slot at each boot, and with it how the disk is laid out (`ovenbird_device.slots.kind`)."""

    GRUB = "grub"
    AUTOBOOT = "autoboot"


@dataclass(frozen=True, slots=True)
class Model:
    """A model of Raspberry Pi, and what its firmware looks for on a boot partition."""

    name: str
    section: str
    """The filter in config.txt that is true on it, without the brackets."""
    device_tree: str
    firmware: tuple[str, str]
    """The program that the boot loader starts, and its memory map; empty where both are in the EEPROM."""
    bootcode: bool
    """Whether it wants `bootcode.bin` on the card's first partition: it has no EEPROM."""


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
    network_modules: tuple[str, ...] = ()
    """Kernel modules for the initrd of a machine without a disk; none: it is not booted from the network."""
    base_packages: tuple[str, ...] = ()
    """What a system on this board needs beside what every system has."""
    boot_size: int = 64 << 20
    """Bytes of a slot's boot partition, unless the recipe says otherwise."""
    selector: Selector = Selector.GRUB
    models: tuple[Model, ...] = ()
    """The Raspberry Pis that it stands for."""
    components: tuple[str, ...] = ()
    """The parts of the archive that its packages are in, beside those of the recipe."""
    releases: tuple[str, ...] = ()
    """The releases whose packages carry it; empty: all that Ovenbird knows."""
    bios: bool = False
    """Whether it also boots by BIOS: its disks carry GRUB's code for that."""

    @property
    def architecture(self) -> str:
        """The architecture by Debian's name."""
        return self.cpu.debian


# QEMU before 8.1 emulates cmpxchg16b with wrong flags, so that one boot in eight ends in an oops (seen with 7.2, Debian
# bookworm). Without that instruction the kernel takes another way. AVX2 is left out as it is emulated slowly: OpenSSL's
# SHA-256 made 27 MiB/s with it and 70 without, in one guest. Nothing else is: without five-level page tables, SMAP,
# SMEP and SVM a boot was five percent faster, but two of some forty restarts hung in the firmware.
EMULATED_CPU = "max,-cx16,-avx2"
# Debian calls the firmware with 4 MiB of flash "4M" since bookworm; other distributions have it elsewhere.
OVMF = (
    Firmware("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    Firmware("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    Firmware("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)
# The machine `virt` wants files of exactly 64 MiB for its flash, which these are.
AAVMF = (
    Firmware("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    Firmware("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
)
# Booting by BIOS and by UEFI; the names are those of bookworm and of trixie.
GRUB_PACKAGES = ("grub-efi-amd64-bin", "grub-pc-bin")
# What our root needs whatever it is on: the file systems of root, data and /etc, and the checksum that ext4 asks the
# kernel's crypto interface for; and loop for a root that is copied into memory.
FILE_SYSTEMS = ("squashfs", "overlay", "ext4", "crc32c_generic", "loop")
# What a root from the network needs on any machine: where it lies, what it is stacked with, swap in memory, VLANs.
DISKLESS = ("squashfs", "overlay", "loop", "zram", "8021q")
# Networks that hosts of virtual machines offer.
VIRTUAL_NETWORKS = ("virtio_pci", "virtio_net", "e1000", "e1000e", "vmxnet3", "hv_netvsc", "xen_netfront")
# Adapters for machines without a socket of their own: Realtek, ASIX, and the class of all others.
USB_NETWORKS = ("r8152", "ax88179_178a", "asix", "cdc_ether", "cdc_ncm")
