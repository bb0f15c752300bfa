"""SWUpdate's own interface on port 8080, for the scripts and clients that people already have; off unless the recipe
turns it on.

`POST /upload` takes a form with a bundle and answers 200 when it is consumed, not when it is installed; what becomes of
it is told on a WebSocket, on any path, in messages whose values are all strings. `POST /restart` restarts the device.
Changes need the device's password by HTTP Basic, as everything that changes the device does; behind the door and the
intake, nothing here is new. Names and order of the messages are those of SWUpdate's `mongoose` web server.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...steward import client
from ...steward.protocol import Reboot
from ...steward.protocol import Update as Order
from ...update.snapshot import Update
from ..auth import peer
from ..guard import Guard
from ..linger import Lingering
from .intake import RefusedError
from .multipart import MultipartError
from .requests import Body, CutError

if TYPE_CHECKING:
    from ..app import Site

_MOST_LISTENERS = 16
_MOST_WAITING = 256
_ERROR, _INFO = "3", "6"
Said = dict[str, str]


class Swupdate:
    """The interface; hears of every update, whatever way it came in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = site.updates.intake
        self._intake.listeners.append(self._heard)
        self._listeners: set[asyncio.Queue[Said]] = set()
        self._before: Update | None = None
        self._status = "IDLE"

    def application(self) -> ASGIApp:
        """The whole interface behind the same door as the page."""
        routes = [
            Route("/upload", self.upload, methods=["POST"]),
            Route("/restart", self.restart, methods=["POST"]),
            WebSocketRoute("/{path:path}", self.watch),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._site.failed, 500: self._site.failed})
        app.router.redirect_slashes = False
        return Guard(app, self._site.settings, streams=frozenset({"/upload"}))

    async def upload(self, request: Request) -> Response:
        """Take the first file of a form. As with SWUpdate, the answer does not say whether it could be installed."""
        verdict = await self._site.auth.may_change(request)
        if verdict != "right":
            return Lingering(self._site.refuse(request, verdict))
        try:
            body = Body.of(request)
            if body.form is None:
                raise HTTPException(400, "Send a form with a file in it (multipart/form-data).")
            await body.start()
            # Restarting is the client's to order, by POST /restart.
            job, upload = await self._intake.begin(Order(reboot=False, by=peer(request)))
        except HTTPException as error:
            return Lingering(await self._site.failed(request, error))
        except (MultipartError, RefusedError) as error:
            status = 400 if isinstance(error, MultipartError) else 409
            return Lingering(self._site.failure(request, status, str(error)))
        except CutError:
            return Response(status_code=400)
        try:
            async for piece in body.pieces():
                await upload.feed(piece)  # Once it is not wanted any more, the rest is consumed all the same.
        except (CutError, MultipartError):
            self._intake.cut(job, upload)
            return Response(status_code=400)
        upload.close()
        return PlainTextResponse("Ok, waiting for the installation to end: see the status.\n")

    async def restart(self, request: Request) -> Response:
        """Restart the device."""
        verdict = await self._site.auth.may_change(request)
        if verdict != "right":
            return self._site.refuse(request, verdict)
        try:
            await client.ask(self._site.settings.steward, Reboot(by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(503, str(error)) from error
        return PlainTextResponse("Device will restart now.\n", 201)

    async def watch(self, socket: WebSocket) -> None:
        """Tell a listener everything from now on. Needs no password, as all reading."""
        if len(self._listeners) >= _MOST_LISTENERS:
            await socket.close(1013)
            return
        await socket.accept()
        queue: asyncio.Queue[Said] = asyncio.Queue(_MOST_WAITING)
        queue.put_nowait({"type": "status", "status": self._status})
        self._listeners.add(queue)
        hearing = asyncio.ensure_future(_until_gone(socket))
        try:
            while True:
                saying = asyncio.ensure_future(queue.get())
                done, _ = await asyncio.wait({saying, hearing}, return_when=asyncio.FIRST_COMPLETED)
                if saying not in done:
                    saying.cancel()
                    return
                await socket.send_text(msgspec.json.encode(saying.result()).decode())
        except (WebSocketDisconnect, RuntimeError, OSError):
            return
        finally:
            hearing.cancel()
            self._listeners.discard(queue)

    def _heard(self, update: Update) -> None:
        before = self._before if self._before is not None and self._before.id == update.id else None
        self._before = update
        if before is None:
            self._tell_status("START")
            self._tell({"type": "source", "source": "WEBSERVER"})
            self._tell_status("RUN")
            self._message(_INFO, "Installation in progress")
        if update.version and not (before and before.version):
            self._tell({"type": "info", "source": f"version {update.version} into slot {update.slot}"})
        if update.total and (before is None or (before.part, before.done) != (update.part, update.done)):
            self._tell(
                {
                    "type": "step",
                    "number": "2",
                    "step": "2" if update.part == "root" else "1",
                    "name": f"{update.part}.img",
                    "percent": str(100 * update.done // update.total),
                }
            )
        if update.state == "armed":
            self._message(_INFO, "SWUPDATE successful !")
            self._tell_status("SUCCESS")
            self._tell_status("DONE")
            self._status = "IDLE"
        elif update.state == "failed":
            self._message(_ERROR, update.message)
            self._message(_ERROR, "Installation failed !")
            self._tell_status("FAILURE")
            self._status = "IDLE"

    def _tell_status(self, status: str) -> None:
        self._status = status
        self._tell({"type": "status", "status": status})

    def _message(self, level: str, text: str) -> None:
        self._tell({"type": "message", "level": level, "text": text})

    def _tell(self, said: Said) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # A listener that sleeps loses the oldest.
            queue.put_nowait(said)


async def _until_gone(socket: WebSocket) -> None:
    """Wait until the listener goes away; what it says means nothing."""
    with suppress(RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
