"""`/support`: everything that helps to find out what is wrong with a device, as one file to give to somebody."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..steward import client
from ..steward.changes import read
from .changes import ChangeList
from .negotiate import wants_html
from .stream import Stream

if TYPE_CHECKING:
    from ..support.parts import Sources
    from .app import Site

PATH = "/support"
FILE = "/support.zip"


class SupportPage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._busy = False

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(FILE, self.file, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """What the file holds, and where it is to be had."""
        refused = self._site.answer(request, await self._site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        if not wants_html(request.headers):
            raise HTTPException(404, f"The file is {FILE}.")
        return self._site.pages.show(request, "support.html", signed_in=True)

    async def file(self, request: Request) -> Response:
        """The file, made while it is sent."""
        refused = self._site.answer(request, await self._site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        if self._busy:
            raise HTTPException(503, "Somebody is downloading one at the moment.", {"Retry-After": "10"})
        name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in socket.gethostname())
        stamp = time.strftime("%Y%m%d-%H%M", time.gmtime())
        headers = {"Content-Disposition": f'attachment; filename="support-{name}-{stamp}.zip"'}
        return Stream(self._stream(), media_type="application/zip", headers=headers)

    async def _stream(self) -> AsyncGenerator[bytes]:
        from ..support.archive import archive  # only for this: it brings a library for zip files along
        from ..support.parts import parts

        if self._busy:
            return
        self._busy = True
        try:
            async for piece in archive(parts(self._sources())):
                yield piece
        finally:
            self._busy = False

    def _sources(self) -> Sources:
        from ..support.parts import Sources

        site = self._site
        settings = site.settings
        return Sources(
            values={
                "overview": site.facts,
                "health": _later(site.health.answer),
                "health-history": _later(site.health.known),
                "services": partial(site.services.catalog.all, units=True, lines=False),
                "slots": partial(client.slots, settings.steward),
                "update": site.updates.status,
                "changes": _later(lambda: ChangeList(changes=read(settings.state, 500))),
                "history": _later(site.machine.sampler.history),
                "network": site.network.answer,
                "storage": _later(site.storage.answer),
                "status": site.machine.answer,
            },
            journal=site.logs.journal,
            state=settings.state,
            processes=settings.places.processes,
            files={
                "image.json": settings.places.image,
                "boot": settings.places.boot_note,
                "os-release": settings.os_release,
            },
        )


def _later(value: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def found() -> object:
        return value()

    return found
