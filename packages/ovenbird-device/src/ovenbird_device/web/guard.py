"""The door: what every request must pass before any page sees it, and the headers that every answer carries.

In this order: the client's address is private, the Host header names this device (against DNS rebinding), the body
is small, and a change that comes from a browser comes from this device's own pages (against cross-site requests).
Then a plain request goes on to HTTPS, where the image wants that only.
Written as plain ASGI so that it holds for static files, errors and unknown paths alike.
"""

import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .linger import Lingering
from .negotiate import refusal
from .secure import Secure
from .settings import Settings

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HEADER_LIMIT = 16 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, settings: Settings, secure: Secure | None = None, streams: frozenset[str] = frozenset()
    ) -> None:
        """`secure`: where plain requests may be sent on to. `streams` are the paths that take a body of any size, and
        see to it themselves.
        """
        self._app = app
        self._secure = secure
        self._settings = settings
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a counted body and with security headers on the answer."""
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            # Browsers do not keep other sites from opening one, so this does.
            trouble = self._trouble({**scope, "method": "GET"}, headers)
            if trouble is None and _same_origin(scope, headers, headers["host"]):
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    answer[name] = value
                answer.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope, headers)
        if answer is None and self._secure is not None:
            answer = self._secure.elsewhere(scope, headers)
        if answer is not None:
            streaming = scope["path"] in self._streams
            await (Lingering(answer) if streaming else answer)(scope, receive, send_guarded)
            return
        if scope["path"] not in self._streams:
            receive = _counted(receive, self._settings.body_limit)
        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        trouble = self._trouble(scope, headers)
        return None if trouble is None else refusal(headers, *trouble)

    def _trouble(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        """Why a request is refused before its body is read: status, sentence, hint. None to let it pass."""
        settings = self._settings
        client: tuple[str, int] | None = scope.get("client")
        if client is None or not settings.may_connect(client[0]):
            return 403, "This device answers private addresses only.", "The recipe or its owner can allow others."
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not settings.knows_host(hosts[0]):
            return 403, "This device does not go by that name.", "Use its address, its host name, or NAME.local."
        if sum(len(name) + len(value) for name, value in headers.raw) > _HEADER_LIMIT:
            return 431, "Those headers are too large.", ""  # h11's own limit lets a header pass that came in one piece
        length = headers.get("content-length", "0")
        limit = settings.body_limit if scope["path"] not in self._streams else sys.maxsize
        if not (length.isascii() and length.isdigit()) or int(length) > limit:
            return 413, "That is too large.", f"At most {settings.body_limit} bytes are taken here."
        if scope["method"] not in _SAFE and not _same_origin(scope, headers, hosts[0]):
            return 403, "That request came from another site.", "Changes are taken from this device's own pages."
        return None


def from_browser(headers: Headers) -> bool:
    """Whether the request carries what browsers add to every change and scripts do not."""
    return "origin" in headers or "sec-fetch-site" in headers


def _same_origin(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a change proves to come from our own page, or from no browser at all.

    Browsers send Origin with each POST; over plain HTTP they often leave out Sec-Fetch-Site. If any of the two is
    there, it must be ours. A client that sends none is no browser; it must then sign in by itself, without cookie.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # A page that came in clear may be anybody's. By plain HTTP, there may be a server in front that does HTTPS.
    schemes = ("https",) if scope["scheme"] in ("https", "wss") else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == host.lower()


def _counted(receive: Receive, limit: int) -> Callable[[], Any]:
    """`receive`, answering 413 once a body of undeclared length has passed the limit."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, "That is too large.")
        return message

    return counted
