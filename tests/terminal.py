"""A page's end of a device's terminal: a WebSocket with wsproto, in the device's own messages."""

from __future__ import annotations

import re
import socket

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from ovenbird_device.terminal import frames
from ovenbird_device.terminal.frames import Data

PROTOCOL = "ovenbird-terminal"
_LONGEST = 200
"""Bytes that anything somebody waits for has at most: a flood is not searched again and again."""


class Page:
    """A WebSocket to a device's terminal."""

    def __init__(self, port: int, *protocols: str, **headers: str) -> None:
        """Asks for `protocols`, and waits whether it is taken."""
        self.printed = b""
        self.accepted: bool | None = None
        self.closed: tuple[int, str] | None = None
        self.link = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._wire = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        asked = Request(
            host=f"127.0.0.1:{port}", target="/terminal/socket", subprotocols=list(protocols), extra_headers=extra
        )
        self._send(asked)
        while self.accepted is None:
            self.hear()

    def _send(self, event: Event) -> None:
        self.link.sendall(self._wire.send(event))

    def hear(self) -> None:
        """Take what comes next."""
        data = self.link.recv(65536)
        self._wire.receive_data(data or None)
        for event in self._wire.events():
            match event:
                case AcceptConnection(subprotocol=chosen):
                    self.accepted = chosen == PROTOCOL
                case RejectConnection():
                    self.accepted = False
                case BytesMessage(data=printed):
                    self.printed += bytes(printed)
                case Ping() as ping:
                    self._send(ping.response())
                case CloseConnection(code=code, reason=reason):
                    self.closed = self.closed or (code, reason or "")
                case _:
                    pass

    def send(self, message: frames.Typed | bytes | str) -> None:
        """Send a message, ours or not."""
        if isinstance(message, str):
            self._send(TextMessage(message))
        else:
            self._send(BytesMessage(message if isinstance(message, bytes) else frames.pack(message)))

    def type(self, text: str) -> None:
        """Send keys."""
        self.send(Data(text.encode()))

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until something is printed."""
        begin = 0
        while (found := re.search(pattern, self.printed[begin:].decode("utf-8", "replace"))) is None:
            assert self.closed is None, (self.closed, self.printed[-2000:])
            begin = max(0, len(self.printed) - _LONGEST)
            self.hear()
        return found

    def until_closed(self) -> tuple[int, str]:
        """Wait for the end: code and words."""
        while self.closed is None:
            self.hear()
        return self.closed

    def cut(self) -> None:
        """Go away without a word."""
        self.link.close()
