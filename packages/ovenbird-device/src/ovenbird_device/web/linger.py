"""Refusing a large upload so that the sender learns why.

A server that answers early and closes makes the sender's kernel throw the answer away while it still sends. So the
answer goes out first, whole, and what keeps coming is read and dropped for a while.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PATIENCE = 5.0  # seconds
_MOST = 256 << 20


class Lingering(Response):
    """A finished response, sent before the request's body has been read."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.body, answer.status_code)
        self.raw_headers = [*answer.raw_headers, (b"connection", b"close")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, drop what still comes, end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        waits = any(name == b"expect" for name, _ in scope["headers"])  # such a client has sent nothing yet
        if not waits:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await _drain(receive)
            except TimeoutError:
                pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    taken = 0
    while taken < _MOST:
        message = await receive()
        if message["type"] != "http.request":
            return
        taken += len(message.get("body", b""))
        if not message.get("more_body", False):
            return
