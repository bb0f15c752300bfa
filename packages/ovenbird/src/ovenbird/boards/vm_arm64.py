"""A virtual machine of 64-bit ARM with virtio devices: QEMU's `virt`, which is what ARM servers and clouds run too.

It boots by UEFI, as every such machine does, so that GRUB and all that is proved of it serve here as they are.
"""

from __future__ import annotations

from ovenbird.boards.board import AAVMF, ARM64, DISKLESS, FILE_SYSTEMS, VIRTUAL_NETWORKS, Board, VirtualMachine

BOARD = Board(
    name="vm-arm64",
    description="A virtual machine with virtio devices (QEMU, libvirt, clouds), 64-bit ARM",
    cpu=ARM64,
    kernel_packages=("linux-image-cloud-arm64",),
    boot_packages=("grub-efi-arm64-bin",),
    initrd_modules=(
        *FILE_SYSTEMS,
        "virtio_pci",
        "virtio_mmio",
        "virtio_blk",
        "virtio_scsi",
        "sd_mod",
        "nvme",
        "i6300esb",  # the watchdog that QEMU offers
    ),
    network_modules=(*DISKLESS, *VIRTUAL_NETWORKS, "virtio_mmio", "i6300esb"),
    console=("console=tty0", "console=ttyAMA0,115200"),
    virtual=VirtualMachine(
        program="qemu-system-aarch64",
        machine="virt,gic-version=max",
        cpu="cortex-a57",  # Newer ones have pointer authentication, which is slow to emulate.
        memory="1G",
        disk="virtio-blk-pci",
        network="virtio-net-pci",
        devices=("virtio-rng-pci",),
        screen=("-device", "virtio-gpu-pci", "-device", "qemu-xhci", "-device", "usb-kbd"),
        firmware=AAVMF,
        firmware_package="qemu-efi-aarch64",
    ),
)
