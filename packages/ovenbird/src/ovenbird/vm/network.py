"""Forwarded ports: which port of this machine leads to which of the guest's."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from ovenbird.errors import HostError, UsageError

ADDRESS = "127.0.0.1"
# Guest port -> where the search for a free port of this machine begins.
DEFAULTS: dict[int, int] = {80: 8080, 22: 2222}
_TRIED = 200


@dataclass(frozen=True, slots=True)
class Forward:
    """Connections to `host` on this machine go to `guest` in the virtual one."""

    host: int
    guest: int

    @classmethod
    def parse(cls, text: str) -> Forward:
        """Read HOST:GUEST, or one number for both. Raises UsageError."""
        first, colon, second = text.partition(":")
        numbers = [first, second if colon else first]
        if not all(number.isascii() and number.isdecimal() and 0 < int(number) < 65536 for number in numbers):
            raise UsageError(f'"{text}" is not a port forwarding', hint="write HOST:GUEST, such as --port 8443:443")
        return cls(int(numbers[0]), int(numbers[1]))


def is_free(port: int) -> bool:
    """Whether this machine's port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as QEMU does
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def free_port(start: int, taken: Iterable[int] = ()) -> int:
    """The first free port from `start` on. Raises HostError."""
    taken = set(taken)
    for port in range(start, min(start + _TRIED, 65536)):
        if port not in taken and is_free(port):
            return port
    raise HostError(f"no port from {start} to {start + _TRIED - 1} is free on this machine")


def forwards(asked: Iterable[Forward] = ()) -> tuple[Forward, ...]:
    """The ports that were asked for, and a free one for each usual port of the guest that nobody asked for.

    Raises UsageError where one that was asked for is in use.
    """
    chosen = list(asked)
    for forward in chosen:
        if not is_free(forward.host):
            raise UsageError(
                f"port {forward.host} of this machine is in use or may not be used",
                hint=f"take another one, such as --port {free_port(max(forward.host, 1024))}:{forward.guest}",
            )
    for guest, start in DEFAULTS.items():
        if all(forward.guest != guest for forward in chosen):
            chosen.append(Forward(free_port(start, (forward.host for forward in chosen)), guest))
    return tuple(chosen)
