"""The image's `apps.json`: which programs of the user's the image carries, and what their units are called.

The workstation writes it beside the units; the agent reads it to list the apps before everything else. What an app
may do (its user, limits, hardening) is in its unit, where systemd reads it; nothing is said twice.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ovenbird_device.format import FormatError

FORMAT: Final = 1
PATH: Final = "usr/lib/ovenbird/apps.json"
PROGRAMS: Final = "/usr/lib/ovenbird-apps"
"""The folder of the apps' programs, each in a folder of its name; part of the image, hence read-only."""
STATES: Final = "/data/apps"
"""The folder of the apps' working states, each in a folder of its name; outlives updates."""
SECRETS: Final = "/data/ovenbird/secrets"
"""The folder of the apps' secrets: a folder an app, a file a secret; root's alone."""
STAY_DOWN: Final = 125
"""The exit code by which an app says: do not start me again until somebody does."""

Kind = Literal["python", "go", "binary", "container"]
Start = Literal["boot", "manual"]


class App(msgspec.Struct, frozen=True):
    """One app. Unknown fields are ignored: a device must not choke on a newer image."""

    name: str
    kind: Kind
    unit: str
    """The systemd unit: `app-NAME.service`."""
    user: str = ""
    description: str = ""
    ports: tuple[str, ...] = ()
    """What it listens on, as `8000/tcp`."""
    start: Start = "boot"
    state: str = ""
    """Its working state, `/data/apps/NAME`."""
    secrets: tuple[str, ...] = ()
    """The names of its secrets; their contents are never in an image."""
    development: bool = False
    """Whether `ovenbird dev` may run another program in its place."""


class Apps(msgspec.Struct, frozen=True):
    """Every app of an image, in the recipe's order."""

    apps: tuple[App, ...] = ()
    format: int = FORMAT


def unit_name(name: str) -> str:
    """The systemd unit of the app of this name."""
    return f"app-{name}.service"


def program_folder(name: str) -> str:
    """Where the program of the app of this name lies on the device."""
    return f"{PROGRAMS}/{name}"


def state_folder(name: str) -> str:
    """Where the app of this name keeps its working state on the device."""
    return f"{STATES}/{name}"


def secret_file(name: str, secret: str) -> str:
    """Where a secret of the app of this name lies on the device."""
    return f"{SECRETS}/{name}/{secret}"


def dump(value: Apps) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def load(text: bytes) -> Apps:
    """Read an `apps.json`; FormatError says what is wrong and where."""
    try:
        return msgspec.json.decode(text, type=Apps)
    except msgspec.MsgspecError as error:
        raise FormatError(f"the list of apps cannot be read: {error}") from error
