"""Whether KVM really works here, found out by trying it.

That /dev/kvm opens says little: inside of some virtual machines and containers the kernel's KVM is there, starts a
guest, and gives up at the first instruction it has to emulate. So a tiny guest is run that goes the way a kernel goes
(64-bit mode with paging, then an instruction that kernels use while they unpack themselves) and reports back. It takes
a tenth of a second.
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
import threading
from enum import StrEnum
from functools import cache
from pathlib import Path

from ovenbird.run import spawn

PATIENCE = 5.0  # seconds for the probe
_PORT = 0xF4
_SUCCESS = 0x31
_EXIT_CODE = _SUCCESS << 1 | 1  # what QEMU's device isa-debug-exit makes of it
_ROM = 1 << 16  # bytes; the firmware's place below 4 GiB, seen below 1 MiB as well

# The guest: a ROM in the place of the firmware. Assembler in the AT&T notation of the GNU assembler.
_PROGRAM = bytes.fromhex(
    "fa"  # cli                                     (16-bit code)
    "2e660f0116c000"  # lgdtl %cs:0xc0
    "0f20c0 6683c801 0f22c0"  # cr0 |= protected mode
    "66ea1a000f000800"  # ljmpl $8, $0xf001a
    "66b81000 8ed8"  # ds = 16                      (32-bit code)
    "c7050010000003200000"  # movl $0x2003, 0x1000       page tables: the first 2 MiB, as they are
    "c7050020000003300000"  # movl $0x3003, 0x2000
    "c7050030000083000000"  # movl $0x83, 0x3000
    "0f20e0 83c820 0f22e0"  # cr4 |= physical address extension
    "b800100000 0f22d8"  # cr3 = 0x1000
    "b9800000c0 0f32 0d00010000 0f30"  # efer |= long mode
    "0f20c0 0d00000080 0f22c0"  # cr0 |= paging
    "ea6f000f001800"  # ljmp $24, $0xf006f
    "b807000000 31c9 0fa2"  # cpuid, leaf 7              (64-bit code)
    "f7c300010000 7414"  # no BMI2: skip the next four
    "b903000000 b801000000"  # ecx = 3, eax = 1
    "c4e271f7c0"  # shlxl %ecx, %eax, %eax
    "83f808 7504"  # eax is not 8: hang
    "b031 e6f4"  # outb $0x31, $0xf4
    "f4 ebfd"  # hlt, for ever
    "0f1f440000"  # fill up to 0xa0
    "0000000000000000"  # descriptors: none,
    "ffff0000009bcf00"  # 8: 32-bit code,
    "ffff00000093cf00"  # 16: data,
    "ffff0000009baf00"  # 24: 64-bit code
    "1f00 a0000f00"  # 0xc0: their length less one, and place
)
_RESET = bytes.fromhex("e90d00")  # at 16 bytes before the end, where a processor starts: jmp to the first byte


class Accelerator(StrEnum):
    """What runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"  # QEMU's own emulation


def rom() -> bytes:
    """The probe, as a firmware image."""
    image = bytearray(_ROM)
    image[: len(_PROGRAM)] = _PROGRAM
    image[-16 : -16 + len(_RESET)] = _RESET
    return bytes(image)


def probe(accelerator: Accelerator, program: str = "qemu-system-x86_64") -> bool:
    """Run the tiny guest and tell whether it came to its end. Raises HostError where QEMU is not installed."""
    with tempfile.TemporaryDirectory(prefix="ovenbird-probe-") as folder:
        image = Path(folder) / "rom"
        image.write_bytes(rom())
        command = [
            program, "-accel", accelerator, "-cpu", "host" if accelerator is Accelerator.KVM else "max",
            "-machine", "q35", "-m", "16", "-nodefaults", "-display", "none", "-bios", image,
            "-device", f"isa-debug-exit,iobase={_PORT:#x},iosize=4",
        ]  # fmt: skip
        with spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            # QEMU stops a guest that KVM gave up on and says so, but goes on running.
            timer = threading.Timer(PATIENCE, process.kill)
            timer.start()
            try:
                for line in process.stderr or ():
                    if b"internal error" in line:
                        process.kill()
                return process.wait() == _EXIT_CODE
            finally:
                timer.cancel()


@cache
def best(program: str = "qemu-system-x86_64") -> Accelerator:
    """KVM where it works for the guests of this QEMU, else emulation.

    The tiny guest is one of x86; the kernels of other architectures emulate no instruction while they run a guest.
    """
    if program != f"qemu-system-{platform.machine()}" or not Path("/dev/kvm").exists():
        return Accelerator.TCG
    return Accelerator.KVM if platform.machine() != "x86_64" or probe(Accelerator.KVM) else Accelerator.TCG
