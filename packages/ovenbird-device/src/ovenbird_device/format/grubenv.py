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
    body = block[len(SIGNATURE) :].decode("latin-1")
    at = 0
    while at < SIZE - len(SIGNATURE):
        if body[at] == "#":
            at = _line_end(body, at) + 1
            continue
        equals = body.find("=", at)  # As GRUB does: a name reaches to the next "=", be it lines away.
        end = _line_end(body, equals + 1) if equals >= 0 else len(body)
        if end >= len(body):
            break  # Cut off: GRUB ignores it as well.
        variables[body[at:equals]] = re.sub(r"\\(.)", r"\1", body[equals + 1 : end], flags=re.DOTALL)
        at = end + 1
    return variables


def _line_end(body: str, at: int) -> int:
    """Where the line that goes on at `at` ends: the next newline that no backslash precedes, or the end."""
    while at < len(body) and body[at] != "\n":
        at += 2 if body[at] == "\\" else 1
    return min(at, len(body))
