"""A virtual machine with virtio devices: QEMU, libvirt, Proxmox, and clouds. The smallest kernel, the fastest boot."""

from __future__ import annotations

from ovenbird.boards.board import (
    AMD64,
    DISKLESS,
    EMULATED_CPU,
    FILE_SYSTEMS,
    GRUB_PACKAGES,
    OVMF,
    VIRTUAL_NETWORKS,
    Board,
    VirtualMachine,
)

BOARD = Board(
    name="vm",
    description="A virtual machine with virtio devices (QEMU, libvirt, Proxmox, clouds), 64-bit x86",
    cpu=AMD64,
    kernel_packages=("linux-image-cloud-amd64",),
    boot_packages=GRUB_PACKAGES,
    bios=True,
    initrd_modules=(
        *FILE_SYSTEMS,
        "virtio_pci",
        "virtio_blk",
        "virtio_scsi",
        "sd_mod",
        "nvme",
        "i6300esb",  # the watchdog that QEMU offers
    ),
    network_modules=(*DISKLESS, *VIRTUAL_NETWORKS, "i6300esb"),
    # no_timer_check: the kernel tries its timer for a moment and panics if no tick came, as happens on a busy host.
    console=("no_timer_check", "console=tty0", "console=ttyS0,115200"),
    virtual=VirtualMachine(
        program="qemu-system-x86_64",
        machine="q35",
        cpu=EMULATED_CPU,
        memory="1G",
        disk="virtio-blk-pci",
        network="virtio-net-pci",
        devices=("virtio-rng-pci",),
        firmware=OVMF,
    ),
)
