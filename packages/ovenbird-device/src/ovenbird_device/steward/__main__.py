"""The steward's process: `python3 -m ovenbird_device.steward`, started by systemd when somebody connects.

It takes the listening socket from systemd (sd_listen_fds(3); `--socket` makes its own, for tests), serves each
connection in a thread, and ends after a minute without any, so that it costs no memory on an idle device. An update
that is under way, or waits to be continued, keeps it alive.
"""

import argparse
import os
import pwd
import select
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from . import actions
from .actions import ActionError
from .device import Device, Places
from .protocol import LINE_LIMIT, Action, Answer, Update, UpdateResume, decode_request, encode

_LISTEN_START = 3  # SD_LISTEN_FDS_START
_PEER = struct.Struct("=iII")  # struct ucred: process, user, group
_PATIENCE = 5.0
_FAREWELL = 0.5
_MOST_CONNECTIONS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until idle. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-steward", description="Does what needs root for the agent.")
    parser.add_argument("--socket", type=Path, help="listen here instead of on systemd's socket")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without a request after which to end")
    parser.add_argument("--user", default="ovenbird", help="the agent's user, allowed beside root")
    usual = Places()
    for name in ("note", "system", "devices", "state", "image", "settings", "disk"):
        parser.add_argument(f"--{name}", type=Path, default=getattr(usual, name))
    options = parser.parse_args(arguments)
    listener = _own_socket(options.socket) if options.socket else _systemd_socket()
    if listener is None:
        print("ovenbird-steward: systemd passed no socket (and no --socket is given)", file=sys.stderr)
        return 2
    places = Places(
        options.note, options.system, options.devices, options.state, options.image, options.settings, options.disk
    )
    with listener:
        serve(listener, allowed_users(options.user), options.idle, Device(places, _reboot))
    return 0


def allowed_users(name: str) -> frozenset[int]:
    """Root, and the agent's user if this system has it."""
    try:
        return frozenset({0, pwd.getpwnam(name).pw_uid})
    except KeyError:
        return frozenset({0})


def serve(listener: socket.socket, allowed: frozenset[int], idle: float, device: Device) -> None:
    """Serve connections until none comes for `idle` seconds and nothing is under way."""
    threads: list[threading.Thread] = []
    while True:
        ready, _, _ = select.select([listener], [], [], idle)
        threads = [thread for thread in threads if thread.is_alive()]
        if not ready:
            if threads or device.updates.busy:
                continue
            return
        connection, _ = listener.accept()
        if len(threads) >= _MOST_CONNECTIONS:
            with connection:
                _send(connection, Answer(ok=False, error="The steward is busy.", reason="busy"))
            continue
        thread = threading.Thread(target=_connection, args=(connection, allowed, device), daemon=True)
        thread.start()
        threads.append(thread)


def _connection(connection: socket.socket, allowed: frozenset[int], device: Device) -> None:
    with connection:
        connection.settimeout(_PATIENCE)
        try:
            _converse(connection, allowed, device)
        except OSError as error:
            print(f"ovenbird-steward: a connection broke: {error}", file=sys.stderr)


def _converse(connection: socket.socket, allowed: frozenset[int], device: Device) -> None:
    process, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in allowed:
        print(f"ovenbird-steward: refused process {process} of user {user}", file=sys.stderr)
        connection.sendall(encode(Answer(ok=False, error="You may not ask the steward for anything.")))
        connection.settimeout(_FAREWELL)  # what is closed before it was read takes the answer with it
        connection.recv(LINE_LIMIT)
        return
    with ExitStack() as stack:
        line, pipes = _read_line(connection, stack)
        if line is None:
            connection.sendall(encode(Answer(ok=False, error=f"A request is one line of at most {LINE_LIMIT} bytes.")))
            return
        try:
            action = decode_request(line)
        except msgspec.DecodeError as error:
            connection.sendall(encode(Answer(ok=False, error=f"Not a request that the steward knows: {error}")))
            return
        print(f"ovenbird-steward: {type(action).__name__} for process {process} of user {user}", file=sys.stderr)
        _answer(connection, action, pipes, device)


def _answer(connection: socket.socket, action: Action, pipes: list[int], device: Device) -> None:
    try:
        if isinstance(action, Update | UpdateResume):
            if not pipes:
                raise ActionError("An update must bring a pipe along.")
            job = actions.begin(action, os.dup(pipes[0]), device)
            connection.sendall(encode(Answer(ok=True)))
            for update in job.follow():
                connection.sendall(encode(update))
            return
        value = actions.act(action, device)
    except ActionError as error:
        connection.sendall(encode(Answer(ok=False, error=str(error), reason=error.reason)))
        return
    connection.sendall(encode(Answer(ok=True, value=msgspec.Raw(msgspec.json.encode(value)))))


def _send(connection: socket.socket, answer: Answer) -> None:
    try:
        connection.settimeout(_PATIENCE)
        connection.sendall(encode(answer))
    except OSError as error:
        print(f"ovenbird-steward: a connection broke: {error}", file=sys.stderr)


def _read_line(connection: socket.socket, stack: ExitStack) -> tuple[bytes | None, list[int]]:
    """One line without its end, and the descriptors that came with it, which `stack` closes. None for the line when it
    is too long or the peer went away before its end.
    """
    received = b""
    pipes: list[int] = []
    while b"\n" not in received:
        if len(received) > LINE_LIMIT:
            return None, pipes
        part, numbers, _, _ = socket.recv_fds(connection, LINE_LIMIT, 1, socket.MSG_CMSG_CLOEXEC)
        for number in numbers:
            stack.callback(os.close, number)
        pipes += numbers
        if not part:
            return None, pipes
        received += part
    line = received.split(b"\n", 1)[0]
    return (line if len(line) <= LINE_LIMIT else None), pipes


def _reboot() -> None:
    try:
        actions.systemctl("reboot")
    except ActionError as error:
        print(f"ovenbird-steward: the device does not reboot: {error}", file=sys.stderr)


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
