"""A Raspberry Pi in 32 bits, from the Pi 2 on; for programs that are there for 32 bits only, and for little memory.

Debian's armhf is ARMv7, so that the Pi 1 and the first Zero (ARMv6) are no boards of ours. Its kernel (6.12) is built
without the Pi 4's Ethernet and PCIe (CONFIG_BCMGENET, CONFIG_PCIE_BRCMSTB): a Pi 4 has neither there, nor USB sockets.
"""

from __future__ import annotations

from dataclasses import replace

from ovenbird.boards.board import ARMHF, Model, VirtualMachine
from ovenbird.boards.rpi import BOARD as RPI
from ovenbird.boards.rpi import MODELS, OLD, WORDS

# fmt: off
PI2 = (
    Model("Raspberry Pi 2 Model B",         "pi2",    "bcm2836-rpi-2-b.dtb",       OLD,      True),
)
# fmt: on

BOARD = replace(
    RPI,
    name="rpi-armhf",
    description="A Raspberry Pi 2, 3, 4, 400, Zero 2 W, or Compute Module 3 or 4, 32-bit ARM",
    cpu=ARMHF,
    kernel_packages=("linux-image-armmp",),
    network_modules=(),
    models=(*PI2, *MODELS),
    # The Pi 2 has the good serial port on its pins, all others the small one.
    console=(*WORDS, "console=ttyAMA0,115200", "console=ttyS1,115200"),
    virtual=VirtualMachine(
        program="qemu-system-arm",
        machine="virt",
        cpu="cortex-a15",
        memory="1G",
        disk="virtio-blk-device",
        network="virtio-net-device",
    ),
)
