"""The steward's process: `python3 -m ovenbird_device.steward`, started by systemd when somebody connects.

It takes the listening socket from systemd (sd_listen_fds(3); `--socket` makes its own, for tests), serves one
connection at a time, and ends after a minute without any, so that it costs no memory on an idle device.
"""

import argparse
import os
import pwd
import select
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .actions import ActionError, act
from .protocol import LINE_LIMIT, Answer, decode_request, encode

_LISTEN_START = 3  # SD_LISTEN_FDS_START
_PEER = struct.Struct("=iII")  # struct ucred: process, user, group
_PATIENCE = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until idle. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-steward", description="Does what needs root for the agent.")
    parser.add_argument("--socket", type=Path, help="listen here instead of on systemd's socket")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without a request after which to end")
    parser.add_argument("--user", default="ovenbird", help="the agent's user, allowed beside root")
    options = parser.parse_args(arguments)
    listener = _own_socket(options.socket) if options.socket else _systemd_socket()
    if listener is None:
        print("ovenbird-steward: systemd passed no socket (and no --socket is given)", file=sys.stderr)
        return 2
    with listener:
        serve(listener, allowed_users(options.user), options.idle)
    return 0


def allowed_users(name: str) -> frozenset[int]:
    """Root, and the agent's user if this system has it."""
    try:
        return frozenset({0, pwd.getpwnam(name).pw_uid})
    except KeyError:
        return frozenset({0})


def serve(listener: socket.socket, allowed: frozenset[int], idle: float) -> None:
    """Serve connections one after the other until none comes for `idle` seconds."""
    while True:
        ready, _, _ = select.select([listener], [], [], idle)
        if not ready:
            return
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_PATIENCE)
            try:
                _converse(connection, allowed)
            except OSError as error:
                print(f"ovenbird-steward: a connection broke: {error}", file=sys.stderr)


def _converse(connection: socket.socket, allowed: frozenset[int]) -> None:
    process, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in allowed:
        print(f"ovenbird-steward: refused process {process} of user {user}", file=sys.stderr)
        connection.sendall(encode(Answer(ok=False, error="You may not ask the steward for anything.")))
        return
    line = _read_line(connection)
    if line is None:
        connection.sendall(encode(Answer(ok=False, error=f"A request is one line of at most {LINE_LIMIT} bytes.")))
        return
    try:
        action = decode_request(line)
    except msgspec.DecodeError as error:
        connection.sendall(encode(Answer(ok=False, error=f"Not a request that the steward knows: {error}")))
        return
    print(f"ovenbird-steward: {type(action).__name__} for process {process} of user {user}", file=sys.stderr)
    try:
        act(action)
    except ActionError as error:
        connection.sendall(encode(Answer(ok=False, error=str(error))))
        return
    connection.sendall(encode(Answer(ok=True)))


def _read_line(connection: socket.socket) -> bytes | None:
    """One line without its end; None when it is too long or the peer went away before its end."""
    received = b""
    while b"\n" not in received:
        if len(received) > LINE_LIMIT:
            return None
        part = connection.recv(LINE_LIMIT)
        if not part:
            return None
        received += part
    line = received.split(b"\n", 1)[0]
    return line if len(line) <= LINE_LIMIT else None


def _systemd_socket() -> socket.socket | None:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
        return None
    return socket.socket(fileno=_LISTEN_START)


def _own_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o660)
    listener.listen(8)
    return listener


if __name__ == "__main__":
    sys.exit(main())
