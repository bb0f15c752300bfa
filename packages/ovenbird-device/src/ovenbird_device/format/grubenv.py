"""GRUB's environment block: 1024 bytes of text that both GRUB and the device rewrite in place.

Format: GRUB manual, "The GRUB environment block"; `grub-core/lib/envblk.c`. The first line is the signature, then
`name=value` lines, then `#` up to the end. In values a backslash escapes a backslash and a newline.
Stricter than GRUB on purpose, for other programs' sake: one comment line only, no empty values, and all of it inside
the first sector of 512 bytes, so that one sector decides and a torn write cannot mix two states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ovenbird_device.format import FormatError

SIZE = 1024
DECIDING = 512
SIGNATURE = b"# GRUB Environment Block\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[\x20-\x7e]+")


def dump(variables: Mapping[str, str]) -> bytes:
    """The block with these variables, in their order. FormatError if a name or value is not fit or they take too
    much.
    """
    out = bytearray(SIGNATURE)
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise FormatError(f"{name!r} is not a name for a GRUB variable")
        if not _VALUE.fullmatch(value):
            raise FormatError(f"the value of {name} must be printable ASCII and not empty")
        out += f"{name}={value}".replace("\\", "\\\\").encode("ascii") + b"\n"
    if len(out) > DECIDING:
        raise FormatError(f"the variables take {len(out)} bytes; all must lie in the first {DECIDING}")
    return bytes(out).ljust(SIZE, b"#")


def load(block: bytes) -> dict[str, str]:
    """The variables of a block, also one written by GRUB or grub-editenv. FormatError if it is none that GRUB would
    load.
    """
    if len(block) != SIZE:
        raise FormatError(f"an environment block has {SIZE} bytes, not {len(block)}")
    if not block.startswith(SIGNATURE):
        raise FormatError("the environment block has no signature")
    variables: dict[str, str] = {}
    for line in _lines(block[len(SIGNATURE) :]):
        name, equals, value = line.partition("=")
        if not line.startswith("#") and equals and name:
            variables[name] = value
    return variables


def _lines(body: bytes) -> list[str]:
    lines: list[str] = []
    line: list[str] = []
    characters = iter(body.decode("latin-1"))
    for character in characters:
        if character == "\\":
            line.append(next(characters, ""))
        elif character == "\n":
            lines.append("".join(line))
            line = []
        else:
            line.append(character)
    return lines  # What follows the last newline is padding, or was cut off: GRUB ignores it as well.
