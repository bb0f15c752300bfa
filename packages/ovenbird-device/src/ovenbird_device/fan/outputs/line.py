"""One line of a GPIO chip as an output, by the kernel's character device (Linux, include/uapi/linux/gpio.h, version 2).

Without a library: three requests are all that it takes. A line is ours for as long as its descriptor is open somewhere;
what it does after that is the driver's affair, often an input that floats.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from .output import OutputError

CONSUMER = "ovenbird-fan"
_INFO = struct.Struct("=32s32sI")  # gpiochip_info: name, label, lines
_LINE_INFO = struct.Struct("=32s32sIIQ160s16s")  # gpio_v2_line_info: name, consumer, offset, num_attrs, flags, …
_VALUES = struct.Struct("=QQ")  # gpio_v2_line_values: bits, mask
_ATTRIBUTE = struct.Struct("=IIQQ")  # gpio_v2_line_config_attribute: id, padding, values, mask
_CONFIG = struct.Struct("=QI20s240s")  # gpio_v2_line_config: flags, num_attrs, padding, attrs[10]
_REQUEST = struct.Struct("=256s32s272sII20si")  # gpio_v2_line_request: offsets[64], consumer, config, num_lines, …, fd
USED, ACTIVE_LOW, OUTPUT = 1 << 0, 1 << 1, 1 << 3
OUTPUT_VALUES = 2  # GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES
_READ, _BOTH = 2, 3


def _request(direction: int, number: int, size: int) -> int:
    """The number of an ioctl (_IOR and _IOWR of asm-generic/ioctl.h; GPIO's letter is 0xB4)."""
    return direction << 30 | size << 16 | 0xB4 << 8 | number


GET_INFO = _request(_READ, 0x01, _INFO.size)
GET_LINE_INFO = _request(_BOTH, 0x05, _LINE_INFO.size)
GET_LINE = _request(_BOTH, 0x07, _REQUEST.size)
SET_CONFIG = _request(_BOTH, 0x0D, _CONFIG.size)
GET_VALUES = _request(_BOTH, 0x0E, _VALUES.size)
SET_VALUES = _request(_BOTH, 0x0F, _VALUES.size)


class Chip(msgspec.Struct, frozen=True):
    """A GPIO chip."""

    path: Path
    label: str
    lines: int

    @property
    def name(self) -> str:
        """As `gpiochip0`."""
        return self.path.name


class Place(msgspec.Struct, frozen=True):
    """One line of a chip."""

    chip: Chip
    offset: int

    @property
    def name(self) -> str:
        """As `gpiochip0/18`."""
        return f"{self.chip.name}/{self.offset}"

    @property
    def store(self) -> str:
        """What systemd keeps its descriptor as: the label, because chips may be numbered otherwise after a restart of
        the kernel's driver. No colon may be in it (sd_pid_notify_with_fds(3)).
        """
        return re.sub(r"[^\w.+-]", "_", f"gpio-{self.chip.label}-{self.offset}")


class Line:
    """A line that is ours."""

    def __init__(self, descriptor: int, place: Place) -> None:
        self.descriptor, self.place = descriptor, place

    def set(self, on: bool) -> None:
        """Switch it. Raises OSError."""
        fcntl.ioctl(self.descriptor, SET_VALUES, _VALUES.pack(int(on), 1))

    def get(self) -> bool:
        """Whether it is on. Raises OSError."""
        return bool(_VALUES.unpack(fcntl.ioctl(self.descriptor, GET_VALUES, _VALUES.pack(0, 1)))[0] & 1)

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            os.close(self.descriptor)


def chips(devices: Path = Path("/dev")) -> Iterator[Chip]:
    """All chips that can be opened, as they are numbered."""
    for path in sorted(devices.glob("gpiochip*"), key=lambda path: (len(path.name), path.name)):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                _, label, lines = _INFO.unpack(fcntl.ioctl(descriptor, GET_INFO, bytes(_INFO.size)))
            finally:
                os.close(descriptor)
            yield Chip(path, _text(label), lines)


def find(wanted: str, devices: Path = Path("/dev")) -> Place:
    """The line that is named: "18", "GPIO18", and either after its chip ("gpiochip0/18", "pinctrl-bcm2711/18").

    A number without a chip is one of the machine's own (a processor's: its label begins with "pinctrl"), else of the
    first chip. Raises OutputError for one that is not there.
    """
    there = list(chips(devices))
    if not there:
        raise OutputError("there is no GPIO chip")
    chip_name, _, line = wanted.rpartition("/")
    if chip_name:
        there = [chip for chip in there if chip_name in (chip.name, chip.label)]
        if not there:
            names = ", ".join(f"{chip.name} ({chip.label})" for chip in chips(devices))
            raise OutputError(f"there is no GPIO chip {chip_name}; there is {names}")
    if line.isascii() and line.isdigit():
        chip = next((chip for chip in there if chip.label.startswith("pinctrl")), there[0])
        if int(line) >= chip.lines:
            raise OutputError(
                f"there is no line {line} at {chip.name} ({chip.label}): it has {chip.lines}, counted from 0"
            )
        return Place(chip, int(line))
    for chip in there:
        for offset, name in enumerate(_names(chip)):
            if name == line:
                return Place(chip, offset)
    raise OutputError(f"no line of {', '.join(chip.name for chip in there)} is called {line}")


def take(place: Place, *, on: bool, inverted: bool) -> Line:
    """Make the line ours, as an output that is switched on or off. Raises OutputError if it is somebody else's."""
    descriptor = os.open(place.chip.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, GET_LINE, asking(place.offset, on=on, inverted=inverted))
    except OSError as error:
        owner = _owner(descriptor, place.offset)
        raise OutputError(
            f"line {place.name} belongs to {owner}" if owner else f"line {place.name} cannot be had: {error.strerror}"
        ) from error
    finally:
        os.close(descriptor)
    line: int = _REQUEST.unpack(answer)[-1]
    os.set_inheritable(line, False)
    return Line(line, place)


def adopt(descriptor: int, place: Place, *, on: bool, inverted: bool) -> Line:
    """A line that was ours already and kept open by systemd, as it is to be now. Raises OSError if it is none."""
    fcntl.ioctl(descriptor, SET_CONFIG, _config(on=on, inverted=inverted))
    os.set_inheritable(descriptor, False)
    return Line(descriptor, place)


def asking(offset: int, *, on: bool, inverted: bool) -> bytes:
    """The request for a line (struct gpio_v2_line_request)."""
    offsets = struct.pack("=I", offset)
    return _REQUEST.pack(offsets, CONSUMER.encode(), _config(on=on, inverted=inverted), 1, 0, b"", 0)


def _config(*, on: bool, inverted: bool) -> bytes:
    flags = OUTPUT | (ACTIVE_LOW if inverted else 0)
    return _CONFIG.pack(flags, 1, b"", _ATTRIBUTE.pack(OUTPUT_VALUES, 0, int(on), 1))


def _names(chip: Chip) -> Iterator[str]:
    descriptor = os.open(chip.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for offset in range(chip.lines):
            yield _text(_line_info(descriptor, offset)[0])
    finally:
        os.close(descriptor)


def _owner(descriptor: int, offset: int) -> str:
    """Who has the line; empty if nobody."""
    with suppress(OSError):
        _, consumer, flags = _line_info(descriptor, offset)
        return (_text(consumer) or "the kernel") if flags & USED else ""
    return ""


def _line_info(descriptor: int, offset: int) -> tuple[bytes, bytes, int]:
    """Name, consumer, flags. Raises OSError."""
    asked = _LINE_INFO.pack(b"", b"", offset, 0, 0, b"", b"")
    name, consumer, _, _, flags, _, _ = _LINE_INFO.unpack(fcntl.ioctl(descriptor, GET_LINE_INFO, asked))
    return name, consumer, flags


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
