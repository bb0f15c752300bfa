"""The options of `ovenbird flash` that say something of a device, in the words of a devices file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import UsageError


@dataclass(frozen=True, slots=True)
class Said:
    """The options as they were given; None and false are what was not."""

    hostname: str | None = None
    user: str | None = None
    password: str | None = None
    password_file: Path | None = None
    password_hash: str | None = None
    keys: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    sudo: bool = True
    ssid: str | None = None
    passphrase_file: Path | None = None
    security: str = "wpa2"
    hidden: bool = False
    country: str | None = None
    locale: str | None = None
    timezone: str | None = None
    addresses: Sequence[str] | None = None
    gateway: str | None = None
    dns: Sequence[str] | None = None
    interface: str | None = None
    server: str | None = None
    secrets: Sequence[str] | None = None


def said(given: Said) -> dict[str, object]:
    """What a devices file would say. Raises UsageError for a secret that is not written as APP/NAME=FILE."""
    plain = {name: getattr(given, name) for name in _PLAIN}
    found: dict[str, object] = {name: value for name, value in plain.items() if value}
    if given.password is not None:
        found["password"] = given.password
    elif given.password_file is not None:
        found["password"] = {"file": str(given.password_file)}
    if not given.sudo:
        found["sudo"] = False
    if given.ssid is not None:
        network: dict[str, object] = {"ssid": given.ssid, "security": given.security, "hidden": given.hidden}
        if given.passphrase_file is not None:
            network["passphrase"] = {"file": str(given.passphrase_file)}
        found["wifi"] = [network]
    elif given.passphrase_file is not None or given.hidden:
        raise UsageError("whose passphrase is that?", hint="--wifi SSID names the network")
    if given.secrets:
        found["secrets"] = _secrets(given.secrets)
    return found


_PLAIN = (
    "hostname", "user", "password_hash", "keys", "groups", "country", "locale", "timezone", "addresses", "gateway",
    "dns", "interface", "server",
)  # fmt: skip


def _secrets(given: Sequence[str]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for text in given:
        place, equals, file = text.partition("=")
        app, slash, name = place.partition("/")
        if not (equals and slash and app and name and file):
            raise UsageError("a secret of an app is said as APP/NAME=FILE", hint="the file holds the secret itself")
        found.setdefault(app, {})[name] = {"file": file}
    return found
