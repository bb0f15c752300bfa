"""Big files over HTTP: ranges as RFC 9110 has them, and the kernel moving the bytes (sendfile) past Python.

uvicorn has no way to send a file. h11, which it speaks HTTP with, has one: it takes a thing with a length in place of
data and gives it back for somebody else to send. That is what `Sendfile` does, as the ASGI extension
`http.response.zerocopysend`; without it (another server, a test client) `FileAnswer` reads and sends in pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h11
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

ZERO_COPY = "http.response.zerocopysend"
PIECE = 1 << 20
STEP = 8 << 20
"""Bytes between two notes of how far a file is."""
STALLED = 60
"""Seconds that a client may leave bytes unacknowledged: a machine that was switched off says nothing."""
_DIGITS = 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file: from `start`, `count` of them, of `total`; `asked` if a range was asked for and is given."""

    start: int
    count: int
    total: int
    asked: bool = False


def wanted(headers: Headers, total: int, tag: str) -> Part | None:
    """The part that a request wants; None for a range that the file does not have (416).

    A request for several ranges, or for a range of other content than there is (If-Range), gets all: RFC 9110 lets a
    server choose so.
    """
    everything = Part(0, total, total)
    asked = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if asked is None or asked.groups() == ("", "") or headers.get("if-range", tag) != tag:
        return everything
    first, last = asked.groups()
    if len(first) > _DIGITS or len(last) > _DIGITS:
        return None
    if not first:
        count = min(int(last), total)
        return Part(total - count, count, total, asked=True) if count else None
    start, end = int(first), min(int(last) if last else total - 1, total - 1)
    if last and int(last) < start:
        return everything
    return Part(start, end - start + 1, total, asked=True) if start < total else None


class FileAnswer:
    """A file as an answer. `tag` names its content; `moved` is told how many bytes of it have been sent."""

    def __init__(
        self,
        path: Path,
        tag: str,
        *,
        moved: Callable[[int, int], None] | None = None,
        kind: str = "application/octet-stream",
    ) -> None:
        self.path = path
        self.tag = f'"{tag}"'
        self.moved = moved
        self.kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. A file that is gone meanwhile raises OSError, which becomes a 500."""
        headers = Headers(scope=scope)
        # Opening and one fstat of a file of this machine's disk take microseconds: no thread is worth it.
        with self.path.open("rb", buffering=0) as file:
            total = os.fstat(file.fileno()).st_size
            part = wanted(headers, total, self.tag)
            same = self.tag in headers.get("if-none-match", "")
            status = 304 if same else 416 if part is None else 206 if part.asked else 200
            await send({"type": "http.response.start", "status": status, "headers": self._headers(status, part, total)})
            if part is None or same or scope["method"] == "HEAD" or not part.count:
                await send({"type": "http.response.body", "body": b""})
                return
            await self._body(scope, send, file, part)

    def _headers(self, status: int, part: Part | None, total: int) -> list[tuple[bytes, bytes]]:
        found = {"accept-ranges": "bytes", "etag": self.tag, "cache-control": "public, max-age=31536000, immutable"}
        if status == 416:
            found |= {"content-range": f"bytes */{total}", "content-length": "0"}
        elif status != 304 and part is not None:
            found |= {"content-length": str(part.count), "content-type": self.kind}
            if status == 206:
                found["content-range"] = f"bytes {part.start}-{part.start + part.count - 1}/{total}"
        return [(name.encode(), value.encode()) for name, value in found.items()]

    async def _body(self, scope: Scope, send: Send, file: BinaryIO, part: Part) -> None:
        straight = ZERO_COPY in scope.get("extensions", {})
        step = STEP if straight else PIECE
        done = 0
        while done < part.count:
            count = min(step, part.count - done)
            more = done + count < part.count
            if straight:
                await send(
                    {"type": ZERO_COPY, "file": file, "offset": part.start + done, "count": count, "more_body": more}
                )
            else:
                data = await asyncio.to_thread(os.pread, file.fileno(), count, part.start + done)
                await send({"type": "http.response.body", "body": data, "more_body": more})
            done += count
            if self.moved is not None:
                self.moved(part.start + done, part.total)


class _Length:
    """Stands for bytes that the kernel sends."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


class Sendfile(H11Protocol):
    """uvicorn's HTTP by h11, with `http.response.zerocopysend` (asgiref, extensions)."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope.setdefault("extensions", {})[ZERO_COPY] = {}

            async def sending(message: Message) -> None:
                if message["type"] == ZERO_COPY:
                    await self._send_file(message)
                    if not message.get("more_body", False):
                        await send({"type": "http.response.body", "body": b""})
                else:
                    await send(message)

            await inner(scope, receive, sending)

        self.app = app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own type
        """A client that is switched off in the middle must not be waited for as long as TCP would."""
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED * 1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        super().connection_made(transport)

    async def _send_file(self, message: Message) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        # h11 checks the length against the header, and hands back what is not bytes.
        for item in self.conn.send_with_data_passthrough(h11.Data(data=_Length(message["count"]))) or ():  # type: ignore[arg-type]  # h11's documented use
            if isinstance(item, _Length):
                await self.loop.sendfile(self.transport, message["file"], message["offset"], len(item))
            else:
                self.transport.write(item)
