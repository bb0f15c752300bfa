"""A PC, notebook or server of 64-bit x86: real disks, keyboards for the debug shell, and the usual watchdogs.

The modules are a list and not what the build machine happens to have, so that an image boots on any PC. Graphics are
not in it: they are loaded by the running system. The network is in that of the initrd for machines without a disk: what
sits on main boards, in notebooks and thin clients. Server adapters are not (ixgbe, i40e, mlx5 are as large as all these
together); `[boot] modules` of the recipe adds them.
"""

from __future__ import annotations

from ovenbird.boards.board import (
    AMD64,
    DISKLESS,
    EMULATED_CPU,
    FILE_SYSTEMS,
    GRUB_PACKAGES,
    OVMF,
    USB_NETWORKS,
    VIRTUAL_NETWORKS,
    Board,
    VirtualMachine,
)

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
# Intel 1 Gbit/s by its age and 2.5 Gbit/s, Realtek, Broadcom, Atheros and Killer.
NETWORKS = ("igb", "igc", "r8169", "realtek", "tg3", "broadcom", "alx", "atl1c")
USB_HOSTS = ("xhci_pci", "ehci_pci", "ohci_pci", "uhci_hcd")

BOARD = Board(
    name="pc",
    description="A PC, notebook or server (SATA, NVMe, USB, SD, virtio), 64-bit x86, by UEFI or BIOS",
    cpu=AMD64,
    kernel_packages=("linux-image-amd64",),
    boot_packages=GRUB_PACKAGES,
    bios=True,
    initrd_modules=(*FILE_SYSTEMS, *DISKS, *VIRTUAL_DISKS, *KEYBOARDS, *WATCHDOGS),
    network_modules=(*DISKLESS, *VIRTUAL_NETWORKS, *NETWORKS, *USB_HOSTS, *USB_NETWORKS, *KEYBOARDS, *WATCHDOGS),
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
