"""Which device is meant, and its password: `host`, `host:port`, `https://user:password@host/`, or a name of the LAN.

A password comes from the URL, from `OVENBIRD_PASSWORD`, or from what was remembered when the device took it before:
`~/.config/ovenbird/devices/NAME.toml`, readable by its owner alone. The same file keeps the fingerprint of the
certificate that a device showed by HTTPS; a device that has one there is reached by HTTPS, unless `http://` is said.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ovenbird.errors import NetworkError, OvenbirdError, UsageError, from_os_error

USER = "ovenbird"
PASSWORD = "OVENBIRD_PASSWORD"  # The variable's name.
_PORT, _SECURE_PORT = 80, 443


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

    secure: bool = False
    """Whether it is reached by HTTPS."""
    explicit: bool = False
    """Whether the user said by which of both."""

    @property
    def url(self) -> str:
        """Where its pages are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{host}" if self.port == _usual(self.secure) else f"{scheme}://{host}:{self.port}"

    @property
    def file(self) -> Path:
        """Where its password and its certificate's fingerprint are remembered."""
        port = "" if self.port == _usual(self.secure) else f"_{self.port}"
        return devices_folder() / f"{re.sub(r'[^A-Za-z0-9._-]', '_', self.host)}{port}.toml"


def devices_folder() -> Path:
    """What is known of devices: `ovenbird/devices` in the user's folder for configuration."""
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "ovenbird" / "devices"


def on_port(host: str, port: int) -> str:
    """How a user writes a device."""
    if port == _PORT:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text: str) -> Target:
    """What the user wrote, with the password that belongs to it. Raises UsageError, and NetworkError for an unknown
    name.
    """
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{public(text)} is no device: {error}") from error
    if (
        parts.scheme not in ("", "http", "https")
        or not host
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise UsageError(
            f"{public(text)} is no device", hint="name it as HOST, HOST:PORT or https://user:password@HOST/"
        )
    secure = parts.scheme == "https"
    name = host if port in (None, _usual(secure)) else f"{host}:{port}"
    target = Target(
        name,
        _resolvable(host),
        port or _usual(secure),
        unquote(parts.username or USER),
        secure=secure,
        explicit=bool(parts.scheme),
    )
    if not target.explicit and pinned(target) is not None:
        target = replace(target, secure=True, port=port or _SECURE_PORT)
    if parts.password is not None:
        return replace(target, password=unquote(parts.password), given=True)
    if from_environment := os.environ.get(PASSWORD):
        return replace(target, password=from_environment)
    return replace(target, password=remembered(target))


def remembered(target: Target) -> str | None:
    """The password that the device took before. Raises UsageError for a file that makes no sense."""
    return _kept(target).get("password")


def pinned(target: Target) -> str | None:
    """The fingerprint (SHA-256, hexadecimal) of the certificate that the device showed before. Raises UsageError."""
    return _kept(target).get("fingerprint")


def _kept(target: Target) -> dict[str, str]:
    try:
        found = tomllib.loads(target.file.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"this file cannot be read: {error}", where=str(target.file), hint="delete it") from error
    return {name: value for name, value in found.items() if isinstance(value, str)}


def remember(target: Target) -> None:
    """Keep a password that the device has taken. Raises OvenbirdError."""
    if target.password is None or remembered(target) == target.password:
        return
    _keep(target, password=target.password)


def pin(target: Target, fingerprint: str) -> None:
    """Keep the fingerprint of a device's certificate. Raises OvenbirdError."""
    _keep(target, fingerprint=fingerprint)


def _keep(target: Target, **values: str) -> None:
    lines = [f"# What {target.name} is known by: the password that it took, its certificate.\n"]
    lines += [f"{name} = {_quoted(value)}\n" for name, value in {**_kept(target), **values}.items()]
    path = target.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(lines))
        aside.replace(path)
    except OSError as error:
        raise from_os_error(error) from error


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(sign):04x}" if sign in '"\\' or ord(sign) < 32 else sign for sign in text) + '"'


def _usual(secure: bool) -> int:
    return _SECURE_PORT if secure else _PORT


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


def public(text: str) -> str:
    """What the user wrote, without a password."""
    return re.sub(r"(://|^)[^/@]*@", r"\1", text)


def ssh_command(
    target: Target, command: Sequence[str], *, port: int | None, user: str | None, options: Sequence[str]
) -> list[str]:
    """The words that reach a device by ssh; what is not given is left to the user's own settings of ssh.

    Raises UsageError for a user or a host that ssh would take for an option.
    """
    words = ["ssh"]
    words += [f"-o{one}" for one in options]
    words += [] if port is None else ["-p", str(port)]
    words += [] if user is None else ["-l", user]
    if target.host.startswith("-"):
        raise UsageError(f"{target.name} is no device")
    return [*words, "--", target.host, *command]


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


def ask_new_password() -> str:
    """Ask the user twice for a new password. Raises UsageError where there is no terminal or they differ."""
    import sys

    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on", hint="give the new password by --stdin")
    from getpass import getpass

    return _wanted(getpass("New password: "), getpass("The same again: "))


def read_password() -> str:
    """The first line of the input. Raises UsageError for an empty one."""
    import sys

    found = sys.stdin.readline().rstrip("\r\n")
    return _wanted(found, found)


def _wanted(new: str, again: str) -> str:
    if new != again:
        raise UsageError("that was not the same twice")
    if not new:
        raise UsageError("a password cannot be empty")
    return new


def overruled() -> str:
    """A note for a user whose environment names a password that is tried before the remembered one; or nothing."""
    return f"note: {PASSWORD} is set and is tried before what is remembered" if os.environ.get(PASSWORD) else ""
