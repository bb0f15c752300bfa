"""Asking the Pi's firmware for something, past the kernel: Debian's has no door to it for programs.

A request is a few words in memory that the firmware can see; its address goes into a register of the mailbox. The page
for it is kept free by our overlay (`reserved-memory`), and `iomem=relaxed` on the command line lets root reach both.
The kernel's own driver takes the answer's interrupt; we look at the memory, and never read the mailbox.

A kernel of the Raspberry Pi foundation has /dev/vcio for the same; it is used where it is.

Sources: raspberrypi/firmware wiki, "Mailboxes" and "Mailbox property interface"; Linux,
drivers/mailbox/bcm2835-mailbox.c (registers) and drivers/firmware/raspberrypi.c (channel 8, status words);
raspberrypi/linux, include/soc/bcm2835/raspberrypi-firmware.h (tags), drivers/char/broadcom/vcio.c (the ioctl).
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path

from .bootloader import TREE

GET_REBOOT_FLAGS = 0x00030064
SET_REBOOT_FLAGS = 0x00038064
TRYBOOT = 1
VCIO = Path("/dev/vcio")
_IOCTL_PROPERTY = 0xC0086400 if ctypes.sizeof(ctypes.c_void_p) == 8 else 0xC0046400
_CHANNEL = 8
_STATUS, _WRITE = 0x38, 0x20
_FULL = 1 << 31
_ANSWERED = 0x80000000
_PAGE = 4096
_PATIENCE = 2.0
_UNCACHED = 0xC0000000
"""The firmware's view of the first GiB of memory, past its cache; BCM2712 has another."""

Ask = Callable[[int, int], int]
"""`ask(tag, value)` gives the firmware's answer. Raises MailboxError."""


class MailboxError(Exception):
    """The firmware cannot be asked, or does not know what it was asked; the message is for people."""


def request(tag: int, value: int) -> list[int]:
    """The words of a request with one value: size, status, tag, room for the answer, length, value, end."""
    return [28, 0, tag, 4, 0, value, 0]


def answer(words: list[int]) -> int:
    """The value of an answered request. MailboxError where the firmware does not know the tag."""
    if words[1] != _ANSWERED:
        raise MailboxError(f"the firmware refused the request {words[2]:#010x} (status {words[1]:#010x})")
    if not words[4] & _ANSWERED:
        raise MailboxError(f"the firmware does not know the request {words[2]:#010x}")
    return words[5]


def door(tree: Path = TREE, iomem: Path = Path("/proc/iomem")) -> Ask | None:
    """The way to the firmware on this machine; None where there is no such firmware. Raises MailboxError where there
    is, but it cannot be reached.
    """
    if VCIO.exists():
        return by_driver
    mailbox = re.search(r"^\s*([0-9a-f]+)-[0-9a-f]+ : .*\bmailbox\b", _text(iomem), re.MULTILINE)
    if mailbox is None:
        return None
    base = int(mailbox[1], 16)
    page = _page(tree)
    if not base:
        raise MailboxError("only root sees where the mailbox is")
    if page is None:
        raise MailboxError("no memory is set aside for requests to the firmware (the overlay `ovenbird` is missing)")
    return lambda tag, value: by_memory(base, page, tag, value)


def ask_for_trial(ask: Ask) -> None:
    """Set the flag for one boot of the other partition, and read it back: a firmware that does not know the request may
    answer it all the same, as QEMU's does. Raises MailboxError.
    """
    ask(SET_REBOOT_FLAGS, TRYBOOT)
    if not ask(GET_REBOOT_FLAGS, 0) & TRYBOOT:
        raise MailboxError("the firmware does not keep the flag for a trial")


def by_driver(tag: int, value: int) -> int:
    """Through /dev/vcio."""
    words = struct.pack("<7I", *request(tag, value))
    buffer = bytearray(words)
    try:
        number = os.open(VCIO, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(number, _IOCTL_PROPERTY, buffer)
        finally:
            os.close(number)
    except OSError as error:
        raise MailboxError(f"/dev/vcio: {error.strerror}") from error
    return answer(list(struct.unpack("<7I", buffer)))


def by_memory(base: int, page: int, tag: int, value: int) -> int:
    """Through the registers at `base`, with the page at the physical address `page`."""
    try:
        number = os.open("/dev/mem", os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
        try:
            # Not closed by hand: a map cannot be while something points into it, an error's traceback for one.
            registers = mmap.mmap(number, _PAGE, offset=base // _PAGE * _PAGE)
            memory = mmap.mmap(number, _PAGE, offset=page)
            return _exchange(registers, base % _PAGE, memory, page, request(tag, value))
        finally:
            os.close(number)
    except OSError as error:
        hint = " (`iomem=relaxed` on the kernel's command line?)" if error.errno in (1, 13) else ""
        raise MailboxError(f"/dev/mem: {error.strerror}{hint}") from error


def _exchange(registers: mmap.mmap, at: int, memory: mmap.mmap, page: int, words: list[int]) -> int:
    """Device memory takes aligned words only, one at a time; hence ctypes and not slices."""
    buffer = (ctypes.c_uint32 * len(words)).from_buffer(memory)
    status = ctypes.c_uint32.from_buffer(registers, at + _STATUS)
    write = ctypes.c_uint32.from_buffer(registers, at + _WRITE)
    for place, word in enumerate(words):
        buffer[place] = word
    _wait(lambda: not status.value & _FULL, "takes no request")
    write.value = (page | _UNCACHED) | _CHANNEL
    _wait(lambda: buffer[1] != 0, "does not answer")
    return answer([int(word) for word in buffer])


def _wait(until: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not until():
        if time.monotonic() > end:
            raise MailboxError(f"the firmware {what}")
        time.sleep(0.001)


def _page(tree: Path) -> int | None:
    """The address of our page: the `reg` of /reserved-memory/ovenbird@…; the parent's cells say how it is written."""
    for folder in sorted(tree.glob("reserved-memory/ovenbird@*")):
        cells = _cells(folder.parent / "#address-cells")
        raw = (folder / "reg").read_bytes()
        return int.from_bytes(raw[: 4 * cells], "big")
    return None


def _cells(path: Path) -> int:
    return int.from_bytes(path.read_bytes(), "big")


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
