"""The kinds of checks that a recipe can ask for, and the programs of `/etc/ovenbird/health.d`.

Only the standard library: HTTP is asked by hand, because a look must be cut off cleanly at any moment. TLS is used
without judging certificates: a device that starts in 1970 would refuse every one, and the question here is only
whether something answers.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ..format import settings
from .check import Check, Look, run_program

FOLDER = Path("/etc/ovenbird/health.d")
PROGRAM_TIMEOUT = 60.0
PROGRAM_EVERY = 10.0
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")
_LONGEST_LINE = 4096


class Program(msgspec.Struct, frozen=True):
    """A program, or a line for the shell, that must end with 0."""

    name: str
    words: tuple[str, ...]
    kind: str = "recipe"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY

    async def look(self) -> Look:
        """As `Check.look`."""
        ended = await run_program(self.words)
        how = f"ended with {ended.code}" if ended.code >= 0 else f"was killed by signal {-ended.code}"
        if ended.code == 0:
            return Look(True, ended.last_line)
        return Look(False, f"{how}{': ' if ended.last_line else ''}{ended.last_line}")


class Http(msgspec.Struct, frozen=True):
    """An address that must answer, by default with a status from 200 to 399."""

    name: str
    address: str
    kind: str = "recipe"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY
    any_status: bool = False

    async def look(self) -> Look:
        """As `Check.look`."""
        try:
            status = await http_status(self.address)
        except (OSError, ValueError) as error:
            return Look(False, f"{self.address}: {_plain(error)}")
        return Look(self.any_status or 200 <= status < 400, f"{self.address} answers with {status}")


class Tcp(msgspec.Struct, frozen=True):
    """A host and port that must take a connection."""

    name: str
    place: str
    kind: str = "recipe"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY

    async def look(self) -> Look:
        """As `Check.look`."""
        host, _, port = self.place.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.removeprefix("[").removesuffix("]"), int(port))
        except (OSError, ValueError) as error:
            return Look(False, f"{self.place}: {_plain(error)}")
        writer.close()
        return Look(True, f"{self.place} takes connections")


class Unit(msgspec.Struct, frozen=True):
    """A unit of systemd that must be active."""

    name: str
    unit: str
    kind: str = "recipe"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY

    async def look(self) -> Look:
        """As `Check.look`."""
        ended = await run_program(("systemctl", "show", "--property=ActiveState,SubState", "--", self.unit))
        values = dict(line.split("=", 1) for line in ended.output.splitlines() if "=" in line)
        state = values.get("ActiveState", "unknown")
        return Look(ended.code == 0 and state == "active", f"{self.unit} is {state} ({values.get('SubState', '?')})")


class Container(msgspec.Struct, frozen=True):
    """A container of podman (root's) that must be running, and healthy if it has a health check of its own."""

    name: str
    container: str
    kind: str = "recipe"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY

    async def look(self) -> Look:
        """As `Check.look`."""
        form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        ended = await run_program(("podman", "container", "inspect", "--format", form, "--", self.container))
        if ended.code:
            return Look(False, ended.last_line or f"podman ended with {ended.code}")
        words = ended.output.split()
        return Look(
            words[:1] == ["running"] and words[1:] in ([], ["healthy"]), f"{self.container} is {' '.join(words)}"
        )


def from_recipe(checks: Iterable[settings.Check]) -> list[Check]:
    """The checks of an image's `[[health]]`. One of a kind that this version does not know never holds."""
    found: list[Check] = []
    for check in checks:
        name, timing = check.name, ("recipe", float(check.timeout_s), float(check.every_s))
        if check.command is not None:
            found.append(Program(name, ("/bin/sh", "-c", check.command), *timing))
        elif check.http is not None:
            found.append(Http(name, check.http, *timing))
        elif check.tcp is not None:
            found.append(Tcp(name, check.tcp, *timing))
        elif check.unit is not None:
            found.append(Unit(name, check.unit, *timing))
        elif check.container is not None:
            found.append(Container(name, check.container, *timing))
        else:
            found.append(Broken(name, "this device does not know how to look at it", *timing))
    return found


def from_folder(folder: Path = FOLDER) -> list[Check]:
    """The programs of a folder, by name; what is hidden or may not be executed is left out, as run-parts does."""
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        Program(file.name, (str(file),), "program", PROGRAM_TIMEOUT, PROGRAM_EVERY)
        for file in files
        if not file.name.startswith(".") and file.is_file() and os.access(file, os.X_OK)
    ]


class Broken(msgspec.Struct, frozen=True):
    """A check that cannot hold, because what it needs to know is missing."""

    name: str
    reason: str
    kind: str = "built-in"
    timeout_s: float = settings.TIMEOUT
    every_s: float = settings.EVERY

    async def look(self) -> Look:
        """As `Check.look`."""
        return Look(False, self.reason)


async def http_status(address: str) -> int:
    """The status that a GET of the address is answered with. Raises OSError, ValueError."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no web address")
    security: ssl.SSLContext | None = None
    if parts.scheme == "https":
        security = ssl.create_default_context()
        security.check_hostname = False
        security.verify_mode = ssl.CERT_NONE
    port = parts.port or (443 if security else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=security, limit=_LONGEST_LINE)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii"))
        line = await reader.readline()
        if not (found := _STATUS.match(line)):
            raise ValueError("does not answer as a web server")
        return int(found[1])
    finally:
        writer.close()
        with suppress(OSError, AttributeError):
            writer.transport.abort()


def _plain(error: Exception) -> str:
    """An error in a few words."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)[:200] or type(error).__name__
