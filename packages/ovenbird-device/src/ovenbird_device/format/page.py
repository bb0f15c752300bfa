"""`page.json`: what an image says to its device about the page: whether it is served by HTTPS too.

It lies in the read-only root (`/usr/lib/ovenbird/page.json`). Written by the workstation's `build/tree.py` from
`[page]` and `[network]` of the recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

PATH = "usr/lib/ovenbird/page.json"
FORMAT = 1

Tls = Literal["also", "only", "off"]


class PageSettings(msgspec.Struct, frozen=True):
    """What a device knows of its page. Unknown fields are ignored: a newer image may say more."""

    tls: Tls = "off"
    """HTTPS beside HTTP, instead of it, or not at all."""
    addresses: tuple[str, ...] = ()
    """The fixed addresses, which the device's own certificate names."""
    format: int = FORMAT


def dump(settings: PageSettings) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(settings, order="sorted"), indent=2) + b"\n"


def read(path: Path) -> PageSettings:
    """What a file says. One that is not there, or makes no sense, says what the defaults say: the page matters more."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PageSettings)
    except (OSError, msgspec.MsgspecError):
        return PageSettings()
