"""`update.json`: what an image says to its device about updates and health.

It lies in the read-only root (`/usr/lib/ovenbird/update.json`), so a device's trust comes with its image and goes with
it. Written by the workstation's `build/tree.py` from `[update]` and `[[health]]` of the recipe; times are seconds.
"""

from __future__ import annotations

import msgspec

from ovenbird_device.format import FormatError
from ovenbird_device.format.selector import TRIES

PATH = "usr/lib/ovenbird/update.json"
SERVER = "/data/ovenbird/update-server"
"""On a device: the address that is its own in place of the image's `server`."""
FORMAT = 1
DEADLINE = 300
TIMEOUT = 10
EVERY = 5


class Check(msgspec.Struct, frozen=True):
    """One health check. Exactly one of `command`, `http`, `tcp`, `unit` and `container` says what is looked at."""

    name: str
    command: str | None = None
    """Run by `/bin/sh -c`; healthy if it ends with 0."""
    http: str | None = None
    """Address that must answer with a status of 200 to 399."""
    tcp: str | None = None
    """`HOST:PORT` that must take a connection."""
    unit: str | None = None
    """systemd unit that must be active."""
    container: str | None = None
    """podman container that must be running (and healthy, if it says)."""
    timeout_s: int = TIMEOUT
    """How long one look may take."""
    every_s: int = EVERY
    """How long after a look the next one comes."""


class UpdateSettings(msgspec.Struct, frozen=True):
    """What a device knows of updates. Unknown fields are ignored: a newer image may say more."""

    certificates: tuple[str, ...] = ()
    """PEM texts of those whose bundles are taken; none: every bundle is refused."""
    compatible: tuple[str, ...] = ()
    """The hardware revisions that a bundle may name; the first is in `/etc/hwrevision`."""
    deadline_s: int = DEADLINE
    tries: int = TRIES
    usb: bool = False
    swupdate_api: bool = False
    server: str | None = None
    """Address that must answer for a trial to be healthy."""
    checks: tuple[Check, ...] = ()
    format: int = FORMAT


def dump(settings: UpdateSettings) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(settings, order="sorted"), indent=2) + b"\n"


def load(text: bytes) -> UpdateSettings:
    """Read an `update.json`; FormatError says what is wrong and where."""
    try:
        return msgspec.json.decode(text, type=UpdateSettings)
    except msgspec.MsgspecError as error:
        raise FormatError(f"update.json cannot be read: {error}") from error
