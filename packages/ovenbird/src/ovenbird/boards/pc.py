"""A PC, notebook or server of 64-bit x86: real disks, keyboards for the debug shell, and the usual watchdogs.

The modules are a list and not what the build machine happens to have, so that an image boots on any PC. Network and
graphics are not in it: they are loaded by the running system.
"""

from __future__ import annotations

from ovenbird.boards.board import AMD64, EMULATED_CPU, FILE_SYSTEMS, GRUB_PACKAGES, OVMF, Board, VirtualMachine

DISKS = (
    "ahci", "ata_piix", "ata_generic", "sd_mod", "nvme", "vmd",
    "usb_storage", "uas", "xhci_pci", "ehci_pci", "ohci_pci", "uhci_hcd",
    "mmc_block", "sdhci_pci", "sdhci_acpi", "rtsx_pci", "rtsx_pci_sdmmc", "rtsx_usb", "rtsx_usb_sdmmc", "ufshcd_pci",
)  # fmt: skip
VIRTUAL_DISKS = (
    "virtio_pci", "virtio_blk", "virtio_scsi", "vmw_pvscsi", "mptspi", "hv_vmbus", "hv_storvsc", "xen_blkfront",
)  # fmt: skip
KEYBOARDS = ("usbhid", "hid_generic", "i8042", "atkbd", "hyperv_keyboard")  # for the debug shell
WATCHDOGS = ("i6300esb", "iTCO_wdt", "sp5100_tco", "wdat_wdt")  # QEMU's, Intel's, AMD's, the one that ACPI describes

BOARD = Board(
    name="pc",
    description="A PC, notebook or server (SATA, NVMe, USB, SD, virtio), 64-bit x86, by UEFI or BIOS",
    cpu=AMD64,
    kernel_packages=("linux-image-amd64",),
    boot_packages=GRUB_PACKAGES,
    bios=True,
    initrd_modules=(*FILE_SYSTEMS, *DISKS, *VIRTUAL_DISKS, *KEYBOARDS, *WATCHDOGS),
    console=("console=ttyS0,115200", "console=tty0"),
    virtual=VirtualMachine(
        program="qemu-system-x86_64",
        machine="q35",
        cpu=EMULATED_CPU,
        memory="1G",
        disk="ide-hd",
        network="e1000e",
        devices=("i6300esb,id=watchdog", "qemu-xhci", "usb-kbd"),
        firmware=OVMF,
    ),
)
