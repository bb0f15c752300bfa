"""Runs the web face: uvicorn, set up for one small process, and what happens once it answers."""

import asyncio
import os
import socket
from types import FrameType
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from ..facts.overview import Reader
from .app import Site, build
from .settings import Settings


def serve(listener: socket.socket, settings: Settings, reader: Reader, second: socket.socket | None = None) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT; SWUpdate's interface on a `second` one, if there is one."""
    site = Site(settings, reader)
    companion: _Companion | None = None
    if second is not None:
        from .update.swupdate import Swupdate

        companion = _Companion(_config(Swupdate(site).application(), sockets="wsproto"), second)
    _Server(_config(build(site, settings)), site, reader, companion).run(sockets=[listener])


def _config(application: ASGIApp, sockets: Literal["none", "wsproto"] = "none") -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="asyncio",
        http="h11",
        ws=sockets,
        ws_max_size=4096,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # a device may believe it is 1970, and each second's work for it would never end
        proxy_headers=False,  # nobody stands in front: a client must not choose its own address
        limit_concurrency=64,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024,
    )


class _Companion(uvicorn.Server):
    """A second server in the first one's loop and life."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    async def begin(self) -> None:
        """Start to answer."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([self._listener])

    async def end(self) -> None:
        """Stop answering."""
        self.should_exit = True
        await self.shutdown([self._listener])


class _Server(uvicorn.Server):
    """Uvicorn that notes when it first answered, tells systemd, and then prepares the pages in the background."""

    def __init__(self, config: uvicorn.Config, site: Site, reader: Reader, companion: _Companion | None = None) -> None:
        super().__init__(config)
        self._companion = companion
        self._site = site
        self._reader = reader
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        if self._companion is not None:
            await self._companion.begin()
        self._reader.mark_ready()
        notify("READY=1")
        self._loop = asyncio.get_running_loop()
        self._loop.run_in_executor(None, self._site.prepare)

    async def main_loop(self) -> None:
        """Wait for the end without waking up: uvicorn's own loop looks ten times a second."""
        while not self.should_exit:
            await self._ended.wait()
        if self._companion is not None:
            await self._companion.end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal, end the wait."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where systemd does not ask."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.connect("\0" + path[1:] if path.startswith("@") else path)
        link.sendall(state.encode())
