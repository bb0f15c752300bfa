"""`/dev`: another program in place of an app's, for `ovenbird dev`. Everything here needs the password.

    POST   /dev?app=NAME   a program (an archive, see `format.ustar`) to run instead of the packed one
    GET    /dev?app=NAME   holds it: server-sent events that say nothing, for as long as somebody is there
    DELETE /dev?app=NAME   puts the packed one back

Where the holding connection ends, the packed program comes back after a while, in which its holder may come again.
A timer of systemd's does the same if the agent or the steward is gone: what holds it only starts that timer anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..dev.unpack import MOST_BYTES, Unpacked
from ..steward import client
from ..steward.protocol import DevEnd, DevKeep, DevStart
from ..steward.protocol import Request as Order
from .answers import Developed, Packed
from .auth import peer
from .linger import Lingering
from .negotiate import json
from .stream import Stream
from .update.intake import SILENCE, Upload

if TYPE_CHECKING:
    from .app import Site

PATH = "/dev"
GRACE = 10.0
"""Seconds in which a holder may come back."""
_EVERY = 15.0
_PATIENCE = 300.0
_LARGEST = MOST_BYTES + (64 << 20)  # with its headers
_STATUS = {"unknown": 404, "over": 404, "refused": 403, "program": 400}
_LONGEST_NAME = 64


class Development:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._holders: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.run, methods=["POST"]),
            Route(PATH, self.hold, methods=["GET"]),
            Route(PATH, self.end, methods=["DELETE"]),
        ]

    async def run(self, request: Request) -> Response:
        """Take a program and run it; answers when systemd has the order to."""
        refused = self._site.answer(request, await self._site.auth.may_change(request), "/")
        if refused is not None:
            return Lingering(refused)
        name = _name(request)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        upload = Upload(writing)
        try:
            work = client.hand_over(self._site.settings.steward, DevStart(name, by=peer(request)), reading, _PATIENCE)
            taking = asyncio.create_task(work)
            # Who refuses what comes closes its end, and that must be seen.
            taking.add_done_callback(lambda _: os.close(reading))
            try:
                whole = await _pump(request, upload)
            finally:
                upload.close()
            answer = await taking
        except client.StewardError as error:
            failed = HTTPException(_STATUS.get(error.reason, 503), str(error))
            return Lingering(await self._site.failed(request, failed))
        if not whole:
            raise HTTPException(400, "The program was cut off.")
        found = msgspec.json.decode(answer.value, type=Unpacked)
        return json(request.headers, Developed(app=name, entries=found.entries, size=found.size), 202)

    async def hold(self, request: Request) -> Response:
        """Hold it for as long as this connection lasts."""
        refused = self._site.answer(request, await self._site.auth.may_change(request), "/")
        if refused is not None:
            return refused
        name = _name(request)
        await self._ask(DevKeep(name))
        return Stream(self._holding(name), media_type="text/event-stream", headers={"Vary": "Accept"})

    async def end(self, request: Request) -> Response:
        """Put the packed program back."""
        refused = self._site.answer(request, await self._site.auth.may_change(request), "/")
        if refused is not None:
            return refused
        name = _name(request)
        await self._ask(DevEnd(name, by=peer(request)))
        return json(request.headers, Packed(app=name), 202)

    async def _ask(self, order: Order) -> None:
        try:
            await client.ask(self._site.settings.steward, order)
        except client.StewardError as error:
            raise HTTPException(_STATUS.get(error.reason, 503), str(error)) from error

    async def _holding(self, name: str) -> AsyncGenerator[bytes]:
        self._holders[name] = self._holders.get(name, 0) + 1
        try:
            yield b": held\n\n"
            while True:
                await asyncio.sleep(_EVERY)
                try:
                    await client.ask(self._site.settings.steward, DevKeep(name))
                except client.StewardError as error:
                    if error.reason:
                        yield f"event: over\ndata: {error}\n\n".encode()
                        return
                yield b": held\n\n"
        finally:
            self._holders[name] -= 1
            task = asyncio.get_running_loop().create_task(self._part(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _part(self, name: str) -> None:
        """A holder is gone: end it, unless somebody comes back."""
        await asyncio.sleep(GRACE)
        if not self._holders.get(name):
            self._holders.pop(name, None)
            with suppress(client.StewardError):  # its timer will
                await client.ask(self._site.settings.steward, DevEnd(name))


def _name(request: Request) -> str:
    name = request.query_params.get("app", "")
    if not name or len(name) > _LONGEST_NAME:
        raise HTTPException(400, "`app` must name an app.")
    return name


async def _pump(request: Request, upload: Upload) -> bool:
    """Pass the body on. False if it ended too early."""
    taken = 0
    while True:
        try:
            message = await asyncio.wait_for(request.receive(), SILENCE)
        except TimeoutError:
            return False
        if message["type"] != "http.request":
            return False
        data: bytes = message.get("body", b"")
        taken += len(data)
        if taken > _LARGEST or not await upload.feed(data):
            return True  # the steward's answer says why
        if not message.get("more_body", False):
            return True
