"""Which device is meant, and its password: `host`, `host:port`, `http://user:password@host/`, or a name of the LAN.

A password comes from the URL, from `OVENBIRD_PASSWORD`, or from what was remembered when the device took it before:
`~/.config/ovenbird/devices/NAME.toml`, readable by its owner alone.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ovenbird.errors import NetworkError, OvenbirdError, UsageError, from_os_error

USER = "ovenbird"
PASSWORD = "OVENBIRD_PASSWORD"  # The variable's name.
_PORT = 80


@dataclass(frozen=True, slots=True)
class Target:
    """A device. `name` is how the user called it, without credentials."""

    name: str
    host: str
    port: int = _PORT
    user: str = USER
    password: str | None = None
    given: bool = False
    """Whether the user gave the password just now, so that it is remembered once the device has taken it."""

    @property
    def url(self) -> str:
        """Where its pages are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}" if self.port == _PORT else f"http://{host}:{self.port}"

    @property
    def file(self) -> Path:
        """Where its password is remembered."""
        port = "" if self.port == _PORT else f"_{self.port}"
        return devices_folder() / f"{re.sub(r'[^A-Za-z0-9._-]', '_', self.host)}{port}.toml"


def devices_folder() -> Path:
    """What is known of devices: `ovenbird/devices` in the user's folder for configuration."""
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "ovenbird" / "devices"


def parse(text: str) -> Target:
    """What the user wrote, with the password that belongs to it. Raises UsageError, and NetworkError for an unknown
    name.
    """
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{_public(text)} is no device: {error}") from error
    if parts.scheme == "https":
        raise UsageError("devices answer by plain HTTP; go through SSH or a VPN where that will not do")
    if parts.scheme not in ("", "http") or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(
            f"{_public(text)} is no device", hint="name it as HOST, HOST:PORT or http://user:password@HOST/"
        )
    name = host if port in (None, _PORT) else f"{host}:{port}"
    target = Target(name, _resolvable(host), port or _PORT, unquote(parts.username or USER))
    if parts.password is not None:
        return replace(target, password=unquote(parts.password), given=True)
    if from_environment := os.environ.get(PASSWORD):
        return replace(target, password=from_environment)
    return replace(target, password=remembered(target))


def remembered(target: Target) -> str | None:
    """The password that the device took before. Raises UsageError for a file that makes no sense."""
    try:
        found = tomllib.loads(target.file.read_text()).get("password")
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"this file cannot be read: {error}", where=str(target.file), hint="delete it") from error
    return found if isinstance(found, str) else None


def remember(target: Target) -> None:
    """Keep a password that the device has taken. Raises OvenbirdError."""
    if target.password is None or remembered(target) == target.password:
        return
    quoted = "".join(f"\\u{ord(sign):04x}" if sign in '"\\' or ord(sign) < 32 else sign for sign in target.password)
    path = target.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f'# The password of {target.name}, as it took it.\npassword = "{quoted}"\n')
        aside.replace(path)
    except OSError as error:
        raise from_os_error(error) from error


def _resolvable(host: str) -> str:
    """The host as this machine can find it: as it is, or in `.local` where the LAN knows such names."""
    for name in (host,) if "." in host or ":" in host or host == "localhost" else (host, f"{host}.local"):
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            continue
        return name
    if "." in host and not host.endswith(".local"):
        return host  # The connection will say it; a name may come with the network.
    raise NetworkError(
        f"nobody knows a device called {host}",
        hint="use its address; names in .local need libnss-resolve or libnss-mdns on this machine",
    )


def _public(text: str) -> str:
    """What the user wrote, without a password."""
    return re.sub(r"(://|^)[^/@]*@", r"\1", text)


def ask_password(target: Target) -> Target:
    """Ask the user on the terminal. Raises OvenbirdError where there is none."""
    import sys

    if not sys.stdin.isatty():
        raise OvenbirdError(
            f"{target.name} wants its password",
            hint=f"set {PASSWORD}, or name the device as http://{USER}:PASSWORD@{target.name}/",
        )
    from getpass import getpass

    return replace(target, password=getpass(f"Password of {target.name}: "), given=True)
