"""Asks systemd how units are: one `systemctl show` for any number of them, without a library for D-Bus in the agent."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from .unit import PROPERTIES, blocks, is_loaded

_PATIENCE = 30.0
"""Seconds. A busy device needed more than 10 once; who asks for a page waits for 60."""
EVERY = "*.service"
"""All services that systemd has loaded."""


class SystemdError(Exception):
    """systemd does not tell; the message is for people."""


def only_loaded(unit: str) -> str:
    """A pattern for a unit that finds it only if systemd has it loaded already; the plain name would load it."""
    return f"{unit[:-1]}[{unit[-1]}]"


async def show(units: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The units, by name, that there are. Raises SystemdError."""
    import asyncio  # only here: the steward, which waits for its answers, does without

    if not units:
        return {}
    command = _command(units)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise SystemdError(f"systemd cannot be asked: {error.strerror}.") from error
    try:
        async with asyncio.timeout(_PATIENCE):
            output, trouble = await process.communicate()
    except TimeoutError as error:
        raise SystemdError("systemd does not answer.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _found(process.returncode or 0, output, trouble)


def show_now(units: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The same, waiting for it. Raises SystemdError."""
    try:
        done = subprocess.run(
            _command(units), capture_output=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise SystemdError("systemd does not answer.") from error
    except OSError as error:
        raise SystemdError(f"systemd cannot be asked: {error.strerror}.") from error
    return _found(done.returncode, done.stdout, done.stderr)


def _command(units: Sequence[str]) -> list[str]:
    return ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", *units]


def _found(code: int, output: bytes, trouble: bytes) -> dict[str, Mapping[str, str]]:
    found = {one["Id"]: one for one in blocks(output.decode("utf-8", "replace")) if is_loaded(one)}
    if code != 0 and not found:
        lines = trouble.decode("utf-8", "replace").strip().splitlines() or [f"systemctl show ended with {code}"]
        raise SystemdError(f"systemd cannot be asked: {lines[-1][:300]}")
    return found
