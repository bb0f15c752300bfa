"""A Raspberry Pi with a 64-bit processor, booted by its own firmware from Debian's packages.

MODELS is the whole of what differs between them. Sources: Raspberry Pi documentation, "Boot folder contents" (which
model starts which file), "Conditional filters", "upstream_kernel" (device trees by Linux' names); Debian's
raspi-firmware and linux-image-arm64 for what is there. A Pi 5 is not among them: the packaged kernel (6.12) has neither
the driver of its card reader (CONFIG_MMC_SDHCI_BRCMSTB) nor those of RP1, which has its Ethernet and USB.
"""

from __future__ import annotations

from ovenbird.boards.board import ARM64, DISKLESS, FILE_SYSTEMS, USB_NETWORKS, Board, Model, Selector, VirtualMachine

OLD = ("start.elf", "fixup.dat")
PI4 = ("start4.elf", "fixup4.dat")
# fmt: off
MODELS = (
    #      name                             filter    device tree                  firmware  bootcode.bin
    Model("Raspberry Pi 3 Model B",         "pi3",    "bcm2837-rpi-3-b.dtb",       OLD,      True),
    Model("Raspberry Pi 3 Model B+",        "pi3+",   "bcm2837-rpi-3-b-plus.dtb",  OLD,      True),
    Model("Raspberry Pi 3 Model A+",        "pi3+",   "bcm2837-rpi-3-a-plus.dtb",  OLD,      True),
    Model("Raspberry Pi Compute Module 3",  "pi3",    "bcm2837-rpi-cm3-io3.dtb",   OLD,      True),
    Model("Raspberry Pi Zero 2 W",          "pi02",   "bcm2837-rpi-zero-2-w.dtb",  OLD,      True),
    Model("Raspberry Pi 4 Model B",         "pi4",    "bcm2711-rpi-4-b.dtb",       PI4,      False),
    Model("Raspberry Pi 400",               "pi400",  "bcm2711-rpi-400.dtb",       PI4,      False),
    Model("Raspberry Pi Compute Module 4",  "cm4",    "bcm2711-rpi-cm4-io.dtb",    PI4,      False),
)
# fmt: on
DISKS = (
    "bcm2835",
    "sdhci_iproc",
    "mmc_block",  # the card readers of the Pi 2 and 3, and of all that follow
    "reset_raspberrypi",
    "xhci_pci",
    "dwc2",
    "usb_storage",
    "uas",
    "sd_mod",
    "nvme",  # boot from USB; CM4 from NVMe
)  # fmt: skip
KEYBOARDS = ("usbhid", "hid_generic")  # for the debug shell
WATCHDOGS = ("bcm2835_wdt",)
# The Pi 4's own; the Pi 3's, which is behind USB; adapters.
NETWORKS = (
    "genet",
    "bcm_phy_ptp",
    "broadcom",
    "mdio_bcm_unimac",
    "lan78xx",
    "microchip",
    "smsc95xx",
    "smsc",
    *USB_NETWORKS,
)
USB_HOSTS = ("reset_raspberrypi", "xhci_pci", "dwc2")
VIRTUAL = ("virtio_pci", "virtio_mmio", "virtio_blk")  # where QEMU stands in for the board
WORDS = (
    "iomem=relaxed",  # the trial's flag is set past the kernel: ovenbird_device.raspberry.mailbox
    "console=tty0",
)

BOARD = Board(
    name="rpi",
    description="A Raspberry Pi 3, 4, 400, Zero 2 W, or Compute Module 3 or 4, 64-bit ARM",
    cpu=ARM64,
    kernel_packages=("linux-image-arm64",),
    boot_packages=("raspi-firmware",),
    base_packages=("firmware-brcm80211", "wireless-regdb"),
    initrd_modules=(*FILE_SYSTEMS, *DISKS, *KEYBOARDS, *WATCHDOGS, *VIRTUAL),
    network_modules=(
        *DISKLESS,
        *NETWORKS,
        *USB_HOSTS,
        *KEYBOARDS,
        *WATCHDOGS,
        "virtio_pci",
        "virtio_mmio",
        "virtio_net",
    ),
    console=(*WORDS, "console=ttyS1,115200"),
    selector=Selector.AUTOBOOT,
    models=MODELS,
    components=("non-free-firmware",),
    releases=("trixie",),
    virtual=VirtualMachine(
        program="qemu-system-aarch64",
        machine="virt",
        cpu="cortex-a57",
        memory="1G",
        disk="virtio-blk-pci",
        network="virtio-net-pci",
        devices=("virtio-rng-pci",),
    ),
)
