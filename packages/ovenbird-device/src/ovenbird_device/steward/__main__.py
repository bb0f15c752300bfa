"""The steward's process: `python3 -m ovenbird_device.steward`, started by systemd when somebody connects.

It takes the listening socket from systemd (sd_listen_fds(3); `--socket` makes its own, for tests), serves each
connection in a thread, and ends after a minute without any, so that it costs no memory on an idle device. An update
that is under way, or waits to be continued, keeps it alive. Told to end, it finishes its answers first: it is told so
by the very restart that somebody asked it for.
"""

import argparse
import os
import pwd
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from .. import lean as lean  # before all others: see there

# isort: split
import msgspec

from ..accounts import users
from ..network import trial
from ..terminal import opening
from ..tls import store
from ..update.snapshot import Update as Snapshot
from . import actions, changes
from .actions import ActionError
from .device import Device, Places
from .protocol import (
    LINE_LIMIT,
    Action,
    Answer,
    Certificate,
    DevStart,
    Terminal,
    Update,
    UpdateResume,
    decode_request,
    encode,
)

_LISTEN_START = 3  # SD_LISTEN_FDS_START
_PEER = struct.Struct("=iII")  # struct ucred: process, user, group
_PATIENCE = 5.0
_FAREWELL = 0.5
_MOST_CONNECTIONS = 8
_LAST_WORDS = 3.0
"""Seconds for the answers that are being given when it is told to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until idle. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-steward", description="Does what needs root for the agent.")
    parser.add_argument("--socket", type=Path, help="listen here instead of on systemd's socket")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without a request after which to end")
    parser.add_argument("--user", default="ovenbird", help="the agent's user, allowed beside root")
    usual = Places()
    for name in ("note", "system", "devices", "state", "image", "settings", "disk", "apps", "units"):
        parser.add_argument(f"--{name}", type=Path, default=getattr(usual, name))
    networks = trial.Places()
    for name in ("kept", "active", "note", "image"):
        parser.add_argument(f"--network-{name}", type=Path, default=getattr(networks, name))
    accounts = users.Places()
    for name in ("kept", "passwd", "ssh"):
        parser.add_argument(f"--users-{name}", type=Path, default=getattr(accounts, name))
    parser.add_argument("--certificates", type=Path, default=store.Places().published, help="where they are published")
    terminals = opening.Places()
    for name in ("said", "socket", "notes"):
        parser.add_argument(f"--terminal-{name}", type=Path, default=getattr(terminals, name))
    options = parser.parse_args(arguments)
    listener = _own_socket(options.socket) if options.socket else _systemd_socket()
    if listener is None:
        print("ovenbird-steward: systemd passed no socket (and no --socket is given)", file=sys.stderr)
        return 2
    places = Places(
        options.note,
        options.system,
        options.devices,
        options.state,
        options.image,
        options.settings,
        options.disk,
        options.apps,
        options.units,
        users.Places(options.users_kept, options.users_passwd, options.users_ssh),
        trial.Places(
            options.network_kept, options.network_active, options.network_note, options.network_image, options.system
        ),
        opening.Places(options.terminal_said, options.terminal_socket, options.terminal_notes),
        store.Places(options.state / "tls", options.certificates),
    )
    with listener, _told_to_end() as told:
        serve(listener, told, allowed_users(options.user), options.idle, Device(places, _reboot))
    return 0


@contextmanager
def _told_to_end() -> Generator[socket.socket]:
    """What has something to read as soon as systemd says that it is time to end. An exception from the handler would
    not do: it may come where nobody awaits it, and is late when the signal comes just before `select` begins to wait.
    """
    told, writing = socket.socketpair()
    with told, writing:
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno())
        signal.signal(signal.SIGTERM, _no_more_than_told)
        try:
            yield told
        finally:
            signal.set_wakeup_fd(-1)


def _no_more_than_told(*_: object) -> None:
    """A signal without a handler in Python ends the process, and is not told."""


def allowed_users(name: str) -> frozenset[int]:
    """Root, and the agent's user if this system has it."""
    try:
        return frozenset({0, pwd.getpwnam(name).pw_uid})
    except KeyError:
        return frozenset({0})


def serve(listener: socket.socket, told: socket.socket, allowed: frozenset[int], idle: float, device: Device) -> None:
    """Serve connections until none comes for `idle` seconds and nothing is under way, or until `told` has something to
    read: then this process ends here, with whatever update it has under way.
    """
    threads: list[threading.Thread] = []
    while True:
        ready, _, _ = select.select([listener, told], [], [], idle)
        threads = [thread for thread in threads if thread.is_alive()]
        if told in ready:
            _finish(threads)
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


def _finish(threads: Sequence[threading.Thread]) -> NoReturn:
    until = time.monotonic() + _LAST_WORDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    os._exit(0)


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
        _answer(connection, action, pipes, device, action.by or ("root" if user == 0 else "agent"))


def _answer(connection: socket.socket, action: Action, pipes: list[int], device: Device, by: str) -> None:
    what, message = changes.words(action), ""
    value: msgspec.Struct | None
    handed: socket.socket | None = None
    try:
        if isinstance(action, Update | UpdateResume):
            if not pipes:
                raise ActionError("An update must bring a pipe along.")
            begun = actions.begin(action, os.dup(pipes[0]), device, lambda update: _note_update(device, by, update))
            connection.sendall(encode(Answer(ok=True)))
            for update in begun.follow():
                connection.sendall(encode(update))
            return
        if isinstance(action, DevStart):
            if not pipes:
                raise ActionError("A program must bring a pipe along.")
            value = actions.develop(action, pipes[0], device)
        elif isinstance(action, Certificate):
            if not pipes:
                raise ActionError("A certificate must bring a pipe along.")
            value = actions.certify(pipes[0], device)
            message = f"SHA-256 {value.fingerprint}"
        elif isinstance(action, Terminal):
            value, handed = None, actions.open_terminal(action, by, device)
        else:
            value = actions.act(action, device)
    except ActionError as error:
        if what:
            device.changes.note(by, changes.name(action), what, done=False, message=str(error))
        connection.sendall(encode(Answer(ok=False, error=str(error), reason=error.reason)))
        return
    if what:
        device.changes.note(by, changes.name(action), what, done=True, message=message)
    answer = encode(Answer(ok=True, value=msgspec.Raw(msgspec.json.encode(value))))
    if handed is None:
        connection.sendall(answer)
        return
    with handed:
        socket.send_fds(connection, [answer], [handed.fileno()])


def _note_update(device: Device, by: str, update: Snapshot) -> None:
    """An update goes on the list when it has ended, with what became of it."""
    armed = update.state == "armed"
    what = f"Update to {update.version}" if update.version else "Update"
    message = f"Slot {update.slot} is tried next." if armed else update.message
    device.changes.note(by, "update", what, done=armed, message=message)


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
