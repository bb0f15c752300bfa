"""`terminal.json`: there only if the recipe opens a terminal on the device's page, and whose shell it is.

Written by the workstation's `build/terminal.py` together with the units that run the shell. Agent and steward read it
each for itself; without it neither knows of any terminal.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ovenbird_device.format import FormatError

PATH = "usr/lib/ovenbird/terminal.json"
FORMAT = 1


class Terminal(msgspec.Struct, frozen=True):
    """Unknown fields are ignored: a newer image may say more."""

    user: str
    """An account of a person in the image, never root."""
    format: int = FORMAT


def dump(value: Terminal) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def load(text: bytes) -> Terminal:
    """Read a `terminal.json`; FormatError says what is wrong and where."""
    try:
        return msgspec.json.decode(text, type=Terminal)
    except msgspec.MsgspecError as error:
        raise FormatError(f"terminal.json cannot be read: {error}") from error


def read(path: Path) -> Terminal | None:
    """What the image says of its terminal; None if it has none, or none that can be understood."""
    try:
        return load(path.read_bytes())
    except (OSError, FormatError):
        return None
