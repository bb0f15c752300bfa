"""Tells systemd about this process (sd_notify(3)), without a library."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tell systemd; nothing where systemd does not ask. Raises OSError where its socket takes nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.connect("\0" + path[1:] if path.startswith("@") else path)
        link.sendall(state.encode())
