"""Runs the web face: uvicorn, set up for one small process, and what happens once it answers."""

import asyncio
import socket
from types import FrameType
from typing import Literal

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import Server

from ..facts.overview import Reader
from ..notify import notify
from ..terminal import frames
from .app import Site, build
from .companion import Companion
from .secure import Secure
from .settings import Settings

Sockets = Literal["none", "wsproto"]
_MOST_SECURE = 96
"""Connections by HTTPS at once: each takes some tens of KB more than a plain one."""


def serve(
    listener: socket.socket,
    settings: Settings,
    reader: Reader,
    second: socket.socket | None = None,
    secure: Secure | None = None,
) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT; SWUpdate's interface on a `second` one, if there is one; and
    by HTTPS as `secure` says.
    """
    site = Site(settings, reader, secure)
    companion: Companion | None = None
    if second is not None:
        from .update.swupdate import Swupdate

        companion = Companion(_config(Swupdate(site).application(), "wsproto"), second)
    _Server(build(site, settings), site, reader, companion).run(sockets=[listener])


def _config(application: ASGIApp, sockets: Sockets = "none", most: int = 192) -> Config:
    return Config(
        application,
        loop="asyncio",
        http="h11",
        ws=sockets,
        ws_max_size=frames.LONGEST_TYPED,
        ws_per_message_deflate=False,  # a few bytes could unfold to more than there is memory
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # a device may believe it is 1970, and each second's work for it would never end
        proxy_headers=False,  # nobody stands in front: a client must not choose its own address
        limit_concurrency=most,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024,
    )


class _Server(Server):
    """Uvicorn that notes when it first answered, tells systemd, and then prepares the pages in the background."""

    def __init__(self, page: ASGIApp, site: Site, reader: Reader, companion: Companion | None = None) -> None:
        self._sockets: Sockets = "wsproto" if site.sockets() else "none"
        super().__init__(_config(page, self._sockets))
        self._page = page
        self._companion = companion
        self._site = site
        self._reader = reader
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sampling: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        if self._companion is not None:
            await self._companion.begin()
        await self._site.secure.begin(_config(self._page, self._sockets, most=_MOST_SECURE))
        self._reader.mark_ready()
        notify("READY=1")
        self._loop = asyncio.get_running_loop()
        self._loop.run_in_executor(None, self._site.prepare)
        self._sampling = asyncio.create_task(self._site.machine.sampler.run())

    async def main_loop(self) -> None:
        """Wait for the end without waking up: uvicorn's own loop looks ten times a second."""
        while not self.should_exit:
            await self._ended.wait()
        self._site.logs.follower.end()
        if self._sampling is not None:
            self._sampling.cancel()
        if self._companion is not None:
            await self._companion.end()
        await self._site.secure.end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal, end the wait."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
