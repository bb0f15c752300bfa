"""Descriptors that systemd keeps for us over our own end (systemd.service(5), FileDescriptorStoreMax=).

A GPIO line is let go of when its last descriptor is closed. With one of them at systemd, a fan goes on while its
daemon is killed, starts anew, or is stopped.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Mapping, Sequence

_FIRST = 3  # sd_listen_fds(3)
_PATIENCE_MS = 5000


def kept(environment: Mapping[str, str]) -> dict[str, int]:
    """What systemd gave this process back, by name."""
    if environment.get("LISTEN_PID") != str(os.getpid()) or not environment.get("LISTEN_FDS", "").isdigit():
        return {}
    count = int(environment["LISTEN_FDS"])
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    return dict(zip(names, range(_FIRST, _FIRST + count), strict=False))


def keep(name: str, descriptor: int) -> None:
    """Give systemd a descriptor to keep. Nothing where systemd does not ask. Raises OSError."""
    _send(f"FDSTORE=1\nFDNAME={name}", [descriptor])


def forget(name: str) -> None:
    """Have systemd close one, and wait until it has. Nothing where systemd does not ask. Raises OSError."""
    _send(f"FDSTOREREMOVE=1\nFDNAME={name}", [])
    settle()


def settle() -> None:
    """Wait until systemd has read all that was sent: it does so when it closes what comes with BARRIER=1
    (sd_notify_barrier(3)). A process that ends before that may not be known any more when its words are read.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            _send("BARRIER=1", [theirs])
        finally:
            os.close(theirs)
        waiting = select.poll()
        waiting.register(ours, 0)
        waiting.poll(_PATIENCE_MS)
    finally:
        os.close(ours)


def _send(text: str, descriptors: Sequence[int]) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.connect("\0" + path[1:] if path.startswith("@") else path)
        link.sendmsg([text.encode()], rights)
