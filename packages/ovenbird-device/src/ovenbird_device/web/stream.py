"""An answer that is sent while it is made, until it is over or the visitor has left.

Starlette's own does the same by a library that works with any event loop; that library and what it brings along
(all of TLS) are 3 MiB of the agent's memory from the first log on that somebody follows.
"""

from __future__ import annotations

import asyncio

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """As Starlette's, for asyncio. What its content raises is the request's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; what makes it is cancelled when the visitor leaves, or the server does."""
        sending = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()
