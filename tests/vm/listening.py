"""Readers of a device's log: each holds a stream of events open, comes back where it broke, and keeps what it got."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from ovenbird.vm.network import ADDRESS
from tests.vm.guest import Guest, authorization

_PAUSE = 0.5


class Listener(threading.Thread):
    """Follows a log as a browser does: with the id of the last event, when the connection has broken."""

    def __init__(self, device: Guest, path: str, **asked: str) -> None:
        super().__init__(daemon=True)
        self._address = (ADDRESS, device.machine.port(80))
        self._path = f"{path}?{urlencode(asked)}"
        self._headers = {"Accept": "text/event-stream", **authorization(device.password)}
        self._over = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.lines: list[Mapping[str, Any]] = []
        self.connected = 0
        """How often it was let in."""
        self.refused: list[int] = []

    @property
    def texts(self) -> list[str]:
        """What the lines say."""
        return [line["text"] for line in self.lines]

    def run(self) -> None:
        """Read until told to end."""
        cursor = ""
        while not self._over.is_set():
            with suppress(OSError, http.client.HTTPException, AttributeError):  # The last: closed while it was read.
                cursor = self._read(cursor)
            cursor = self.lines[-1]["cursor"] if self.lines else cursor
            self._over.wait(_PAUSE)

    def _read(self, cursor: str) -> str:
        again = {"Last-Event-ID": cursor} if cursor else {}
        self._connection = http.client.HTTPConnection(*self._address, timeout=120)
        self._connection.request("GET", self._path, headers={**self._headers, **again})
        answer = self._connection.getresponse()
        if answer.status != 200:
            self.refused.append(answer.status)
            return cursor
        self.connected += 1
        name = ""
        while raw := answer.readline():
            key, _, value = raw.decode().rstrip("\n").partition(": ")
            if key == "id":
                name = value
            elif key == "data":
                line = json.loads(value)
                assert line["cursor"] == name
                self.lines.append(line)
        return cursor

    def end(self) -> None:
        """Leave."""
        self._over.set()
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(2)
            self._connection.close()


@contextmanager
def listening(device: Guest, count: int, path: str, **asked: str) -> Generator[list[Listener]]:
    """So many readers at once; all are let in when this begins.

    They come one after the other: QEMU's forwarded ports queue no more than one connection, and whoever is turned away
    waits ever longer before the next attempt.
    """
    readers = [Listener(device, path, **asked) for _ in range(count)]
    try:
        for reader in readers:
            reader.start()
            end = time.monotonic() + 120
            while not reader.connected:
                assert time.monotonic() < end, f"a reader is not let in: {reader.refused}"
                time.sleep(0.02)
        yield readers
    finally:
        for reader in readers:
            reader.end()
        for reader in readers:
            if reader.is_alive():
                reader.join(30)
