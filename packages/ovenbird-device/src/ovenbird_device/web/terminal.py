"""`/terminal`: a shell on the device, for who has its password and types it once more. Only if the recipe opens it.

    GET  /terminal         the page; for programs whose shell it is
    POST /terminal         the password: starts a shell, and gives a ticket for it
    WS   /terminal/socket  the shell; the ticket is the second of the protocols that are asked for

A ticket opens one WebSocket, once, within seconds, from the same address and the same session. The shell runs far from
here, see `terminal`: this passes messages on that it has understood. When the session ends or the password changes,
open terminals end as well.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..steward import client
from ..steward.protocol import Terminal
from ..terminal import frames
from ..terminal.frames import Data, FrameError, Over
from ..terminal.opening import MOST
from .answers import TerminalAnswer, Ticket
from .auth import Proof, basic, peer, sender
from .forms import fields
from .negotiate import json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH: Final = "/terminal"
SOCKET: Final = "/terminal/socket"
PROTOCOL: Final = "ovenbird-terminal"
STATIC: Final = Path(__file__).with_name("terminal_static")
VALID: Final = 20.0
"""Seconds for which a ticket is good."""
_LOOK = 5.0
"""Seconds between two looks whether whoever opened it is still let in."""
_STATUS = {"unknown": 404, "password": 401, "terminal": 503}
_ENDS: Final[dict[frames.Reason, str]] = {
    "ended": "The shell has ended.",
    "idle": "Nobody typed anything for a while.",
    "silent": "The page came too late.",
    "failed": "The shell could not be started.",
}
_NORMAL, _REFUSED, _FAILED = 1000, 1008, 1011


class _Waiting(msgspec.Struct):
    """A shell that waits for its page."""

    link: socket.socket
    by: str
    proof: Proof
    expiry: asyncio.TimerHandle


class TerminalPage:
    """Serves it. `user` is whose shell it is."""

    def __init__(self, site: Site, user: str) -> None:
        self._site = site
        self._user = user
        self._waiting: dict[str, _Waiting] = {}
        self._open = 0
        """Those that are started, wait, or are in use."""

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [Route(PATH, self.show, methods=["GET"]), Route(PATH, self.open, methods=["POST"])]

    def sockets(self) -> list[WebSocketRoute]:
        """Its WebSocket."""
        return [WebSocketRoute(SOCKET, self.connect)]

    async def show(self, request: Request) -> Response:
        """The page, for who is signed in."""
        site = self._site
        refused = site.answer(request, await site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        if wants_html(request.headers):
            signed_in, minutes = site.auth.signed_in(request), round(frames.IDLE / 60)
            return site.pages.show(request, "terminal.html", signed_in=signed_in, user=self._user, minutes=minutes)
        return json(request.headers, TerminalAnswer(user=self._user, open=self._open, most=MOST))

    async def open(self, request: Request) -> Response:
        """Start a shell, for who sends the password: a session alone is not enough."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        if wants_html(request.headers):
            raise HTTPException(400, "A terminal needs JavaScript.")
        proof = site.auth.proof(request)
        given = "" if proof.session else (basic(request.headers) or ("", ""))[1]
        if proof.session:
            given = (await fields(request)).get("password", "")
            verdict = await site.auth.check(sender(request), given)
            if verdict != "right":
                return site.refuse(request, verdict)
        if self._open >= MOST:
            raise HTTPException(409, f"{MOST} terminals are open already.")
        self._open += 1
        try:
            link = await client.take(site.settings.steward, Terminal(given, by=peer(request)))
        except client.StewardError as error:
            self._open -= 1
            raise HTTPException(_STATUS.get(error.reason, 503), str(error)) from error
        except BaseException:
            self._open -= 1
            raise
        link.setblocking(False)
        ticket = secrets.token_urlsafe(32)
        expiry = asyncio.get_running_loop().call_later(VALID, self._expire, ticket)
        self._waiting[ticket] = _Waiting(link, peer(request), proof, expiry)
        return json(request.headers, Ticket(ticket=ticket, path=SOCKET, protocol=PROTOCOL, valid_s=VALID))

    def _expire(self, ticket: str) -> None:
        waiting = self._waiting.pop(ticket, None)
        if waiting is not None:
            waiting.link.close()
            self._open -= 1

    async def connect(self, page: WebSocket) -> None:
        """A page with its ticket; the guard has seen to its origin."""
        waiting = self._redeem(page)
        if waiting is None:
            await page.close(_REFUSED)
            return
        try:
            with waiting.link as link:
                await page.accept(subprotocol=PROTOCOL)
                code, reason = await self._converse(page, link, waiting.proof)
                with suppress(RuntimeError, OSError):
                    await page.close(code, reason)
        finally:
            self._open -= 1

    def _redeem(self, page: WebSocket) -> _Waiting | None:
        """The shell of a ticket, which is used up by it whether it is let in or not."""
        asked: list[str] = page.scope.get("subprotocols") or []
        if len(asked) != 2 or asked[0] != PROTOCOL:
            return None
        waiting = self._waiting.pop(asked[1], None)
        if waiting is None:
            return None
        waiting.expiry.cancel()
        session = self._site.auth.token(page)
        same = waiting.by == peer(page) and waiting.proof.session in ("", session)
        if same and self._site.auth.stands(waiting.proof):
            return waiting
        waiting.link.close()
        self._open -= 1
        return None

    async def _converse(self, page: WebSocket, link: socket.socket, proof: Proof) -> tuple[int, str]:
        """Pass messages on until there is an end, and say with which code and words it is told."""
        ways = [self._to_shell(page, link), self._to_page(page, link), self._watch(proof)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # If several have ended at once, the shell knows best why.
        return next(task for task in (tasks[1], tasks[2], tasks[0]) if task in done).result()

    async def _to_shell(self, page: WebSocket, link: socket.socket) -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        while (message := await page.receive())["type"] != "websocket.disconnect":
            try:
                packet: bytes = message.get("bytes") or b""
                frames.typed(packet)
                await loop.sock_sendall(link, packet)
            except FrameError as error:
                return _REFUSED, f"{str(error)[:1].upper()}{str(error)[1:]}."
            except OSError:
                return _FAILED, "The shell is gone."
        return _NORMAL, ""

    async def _to_page(self, page: WebSocket, link: socket.socket) -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(link, frames.LONGEST_TOLD + 1)
                told = frames.told(packet)
            except (FrameError, OSError):
                return _FAILED, "The shell is gone."
            if isinstance(told, Over):
                return _NORMAL, _ENDS[told.reason]
            if isinstance(told, Data):
                try:
                    await page.send_bytes(told.data)
                except (WebSocketDisconnect, RuntimeError, OSError):
                    return _NORMAL, ""

    async def _watch(self, proof: Proof) -> tuple[int, str]:
        while self._site.auth.stands(proof):
            await asyncio.sleep(_LOOK)
        return _REFUSED, "You are signed out."
