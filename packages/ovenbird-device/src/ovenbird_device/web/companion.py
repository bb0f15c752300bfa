"""A further server in the first one's loop and life: SWUpdate's interface, and the page by HTTPS."""

from __future__ import annotations

import asyncio
import socket
from asyncio import sslproto
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from uvicorn.config import Config
from uvicorn.server import Server

if TYPE_CHECKING:
    import ssl

_HANDSHAKE, _SHUTDOWN = 10.0, 2.0
# What each connection by TLS reads into: 256 KiB of memory, filled, where a record has 16.
sslproto.SSLProtocol.max_size = 32 << 10


class Companion(Server):
    """Answers on a socket that listens already; by TLS where there is a context."""

    def __init__(self, config: Config, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        super().__init__(config)
        self._listener = listener
        self._context = context

    async def begin(self) -> None:
        """Start to answer. Raises OSError."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own knows no patience with handshakes: whoever begins one would keep a connection for a minute."""
        config, secure = self.config, self._context is not None
        make = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)

        def protocol() -> asyncio.Protocol:
            return make(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        create = asyncio.get_running_loop().create_server
        self.servers = [
            await create(
                protocol,
                sock=one,
                ssl=self._context,
                backlog=config.backlog,
                ssl_handshake_timeout=_HANDSHAKE if secure else None,
                ssl_shutdown_timeout=_SHUTDOWN if secure else None,
            )
            for one in sockets or []
        ]
        self.started = True

    async def end(self) -> None:
        """Stop answering."""
        self.should_exit = True
        await self.shutdown([self._listener])
