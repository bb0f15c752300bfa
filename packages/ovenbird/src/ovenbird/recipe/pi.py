"""[pi]: what a recipe says to a Raspberry Pi's firmware; it becomes `config.txt`.

The keys are for what most devices need; `lines` takes the rest as the firmware reads it. What two entries of one
`config.txt` cannot both mean is an error here, with its line, and not a surprise on a device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from ovenbird.recipe.rules import Complaint
from ovenbird.recipe.section import Section, text

LONGEST: Final = 98
"""What the firmware reads of a line (Raspberry Pi documentation, "File format")."""
OURS: Final = {
    "arm_64bit": "the board",
    "auto_initramfs": "the slots",
    "boot_partition": "the selector",
    "cmdline": "the slots",
    "device_tree": "the board",
    "fixup_file": "`camera` and `gpu_memory`",
    "initramfs": "the slots",
    "kernel": "the slots",
    "os_prefix": "the slots",
    "ramfsaddr": "the slots",
    "ramfsfile": "the slots",
    "start_file": "`camera` and `gpu_memory`",
    "tryboot_a_b": "the selector",
    "upstream_kernel": "the board",
}
"""Entries that belong to Ovenbird, and to what."""
KEYS: Final = {
    "dtoverlay": "overlays",
    "dtparam": "parameters",
    "enable_uart": "uart",
    "gpu_mem": "gpu_memory",
    "start_x": "camera",
}
"""Entries that have a key of their own."""
SEVERAL: Final = ("dtoverlay", "dtparam", "gpio")
"""Entries that may come more than once: each adds to what was there."""
CHANNELS: Final[Mapping[int, int]] = {12: 0, 13: 1, 18: 0, 19: 1}
"""The pins that a PWM channel can come out of (BCM2835 ARM Peripherals, 6.2 and 9.5)."""
CAMERA_MEMORY: Final = 128
"""MiB that the firmware wants for a camera (Raspberry Pi documentation, "gpu_mem")."""
_OVERLAY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]*|[^,]+\.(?:dtbo|dts))(?:,[A-Za-z0-9_.-]+(?:=[^,=\s]*)?)*")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+(?:=[^,=\s]+)?")
_ENTRY = re.compile(r"([A-Za-z0-9_:]+)=(.*)")
_FILTER = re.compile(r"\[[^\[\]]+\]")


def overlay(value: str) -> Complaint | None:
    """An overlay, and its parameters after commas."""
    if _OVERLAY.fullmatch(value) is None:
        return Complaint(f'"{value[:80]}" is no overlay: write its name or its file, and parameters after commas')
    return _short(f"dtoverlay={value}")


def parameter(value: str) -> Complaint | None:
    """A parameter of the device tree."""
    if _PARAMETER.fullmatch(value) is None:
        return Complaint(f'"{value[:80]}" is no parameter of a device tree: write "name=value"')
    return _short(f"dtparam={value}")


def config_line(value: str) -> Complaint | None:
    """A line of `config.txt` that no key of ours stands for."""
    if not value.isascii() or not value.isprintable():
        return Complaint("a line of config.txt has printable ASCII characters only")
    if value.startswith("#") or _FILTER.fullmatch(value):
        return _short(value)
    name = value.split("=")[0].split()[0] if value.split() else ""
    if name in OURS:
        return Complaint(f"`{name}` in config.txt belongs to {OURS[name]}", "leave it out")
    if name in KEYS:
        return Complaint(f"`{name}` in config.txt has a key of its own", f"set `{KEYS[name]}` in [pi]")
    if name == "include":
        return Complaint("`include` is not possible: all of config.txt is in the recipe", "write the lines here")
    if _ENTRY.fullmatch(value) is None:
        return Complaint(f'"{value[:80]}" is no line of config.txt: write "name=value", without spaces, or "[filter]"')
    return _short(value)


def _short(line: str) -> Complaint | None:
    if len(line) <= LONGEST:
        return None
    return Complaint(f"a line of config.txt has at most {LONGEST} characters, this one has {len(line)}")


class Pi(Section, frozen=True, kw_only=True):
    """What a Raspberry Pi's firmware is told (`config.txt`). Only for the boards of a Raspberry Pi."""

    overlays: Annotated[
        tuple[
            Annotated[
                str, Meta(examples=["./overlays/relay.dtbo,gpio=17"], extra={"read": "overlay", "rule": overlay})
            ],
            ...,
        ],
        Meta(
            description="Overlays for the device tree: the name of one that comes with the firmware, or a file "
            "(`.dtbo`, or `.dts` to compile), with parameters after commas."
        ),
    ] = ()
    parameters: Annotated[
        tuple[Annotated[str, text("", parameter, example="i2c_arm=on")], ...],
        Meta(description="Parameters of the device tree (`dtparam=`), for trees that have any."),
    ] = ()
    uart: Annotated[bool, Meta(description="Whether the serial port on pins 8 and 10 shows the boot.")] = True
    pwm: Annotated[
        tuple[Annotated[int, Meta(description="")], ...],
        Meta(description="GPIO numbers that carry hardware PWM: 12 or 18 for channel 0, 13 or 19 for channel 1."),
    ] = ()
    camera: Annotated[
        bool, Meta(description="Whether the firmware that drives a camera is started; takes 128 MiB of memory.")
    ] = False
    gpu_memory: Annotated[
        Annotated[int, Meta(ge=16, le=944)] | None,
        Meta(description="MiB of memory that the graphics processor keeps. Without it, the firmware's default."),
    ] = None
    eeprom: Annotated[
        Annotated[Path, Meta(examples=["./eeprom/pieeprom-2026-05-17.bin"], extra={"read": "eeprom"})] | None,
        Meta(
            description="A boot loader for the EEPROM of a Pi 4 or 400, with `recovery.bin` beside it: both out of a "
            "folder of rpi-eeprom's `firmware-2711`. The card carries it; it is written into the EEPROM when asked for "
            "on the device, together with the settings that are in the file."
        ),
    ] = None
    lines: Annotated[
        tuple[
            Annotated[str, Meta(examples=["hdmi_group=2"], extra={"rule": config_line, "repeats": True})],
            ...,
        ],
        Meta(
            description="Further lines of `config.txt`, filters such as `[pi4]` among them, as the firmware reads them."
        ),
    ] = ()


class Conflict(Struct, frozen=True):
    """Two entries that cannot both hold: the key of [pi] and the item's place in it, and what is wrong."""

    key: str
    place: int
    message: str
    hint: str | None = None


def conflicts(pi: Pi) -> list[Conflict]:
    """Every contradiction between the entries of [pi]."""
    found = [*_pwm(pi.pwm), *_lines(pi.lines), *_overlays(pi.overlays), *_parameters(pi.parameters)]
    if pi.camera and pi.gpu_memory is not None and pi.gpu_memory < CAMERA_MEMORY:
        message = f"`pi.gpu_memory` is {pi.gpu_memory}, but a camera needs at least {CAMERA_MEMORY}"
        found.append(Conflict("gpu_memory", -1, message, "leave one of both out"))
    return found


def _pwm(pins: Sequence[int]) -> list[Conflict]:
    found: list[Conflict] = []
    used: dict[int, int] = {}
    for place, pin in enumerate(pins):
        if pin not in CHANNELS:
            found.append(Conflict("pwm", place, f"`pi.pwm`: GPIO {pin} has no PWM", "12, 13, 18 and 19 have"))
        elif CHANNELS[pin] in used:
            message = f"`pi.pwm`: GPIO {used[CHANNELS[pin]]} and {pin} are the same channel ({CHANNELS[pin]})"
            found.append(Conflict("pwm", place, message, "take one of 12 and 18, and one of 13 and 19"))
        else:
            used[CHANNELS[pin]] = pin
    return found


def _lines(lines: Sequence[str]) -> list[Conflict]:
    """The same entry twice under the same filters, with two values: the firmware would take the last."""
    found: list[Conflict] = []
    said: dict[tuple[frozenset[str], str], str] = {}
    filters: dict[str, str] = {}
    for place, line in enumerate(lines):
        if line == "[all]":
            filters = {}
            continue
        if line.startswith("["):
            filters[_kind(line)] = line
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None or entry[1] in SEVERAL:
            continue
        before = said.setdefault((frozenset(filters.values()), entry[1]), entry[2])
        if before != entry[2]:
            where = f" under {''.join(filters.values())}" if filters else ""
            message = f"`pi.lines`: `{entry[1]}` is {before} and {entry[2]}{where}"
            found.append(Conflict("lines", place, message, "leave one of both out"))
    return found


def _kind(line: str) -> str:
    """What a filter is about. One takes the place of another of its kind, and adds to those of other kinds.

    Source: Raspberry Pi documentation, "Conditional filters".
    """
    name = line.strip("[]").partition("=")[0]
    starts = {"pi": "model", "cm": "model", "0x": "serial", "gpio": "gpio"}
    return next((kind for start, kind in starts.items() if name.startswith(start)), name)


def _overlays(overlays: Sequence[str]) -> list[Conflict]:
    """The serial port's Bluetooth is switched off and moved at once."""
    names = [Path(one.split(",")[0]).stem for one in overlays]
    if {"disable-bt", "miniuart-bt"} <= set(names):
        place = max(names.index("disable-bt"), names.index("miniuart-bt"))
        message = "`pi.overlays`: disable-bt takes Bluetooth away, miniuart-bt moves it"
        return [Conflict("overlays", place, message, "leave one of both out")]
    return []


def _parameters(parameters: Sequence[str]) -> list[Conflict]:
    found: list[Conflict] = []
    said: dict[str, str] = {}
    for place, one in enumerate(parameters):
        name, _, value = one.partition("=")
        if said.setdefault(name, value) != value:
            message = f"`pi.parameters`: `{name}` is {said[name] or 'on'} and {value or 'on'}"
            found.append(Conflict("parameters", place, message, "leave one of both out"))
    return found
