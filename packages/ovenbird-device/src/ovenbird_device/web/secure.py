"""The page by HTTPS: the same application behind a second listener, with whichever certificate can be served.

Whatever is wrong with HTTPS (no certificate, one that cannot be loaded, a port that is taken) is told, and costs HTTP
nothing: where the image wants HTTPS only, plain requests are sent on to it for as long as all is well with it, and else
answered, because a device that nobody can administer is worse than one that can be listened to.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from ..tls import store
from ..tls.certificate import CertificateError, Facts, day, early, expired
from .companion import Companion
from .negotiate import wants_html
from .settings import Settings

if TYPE_CHECKING:
    import ssl

    from uvicorn.config import Config

_IN_CLEAR = frozenset({"/health", "/status"})
"""What programs that look for devices, and those that watch over them, are told without HTTPS: health's own check of
the agent, load balancers, `ovenbird scan`.
"""


class TlsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the page is served by HTTPS. `mode`: `also`, `only` or `off`, as the image has it."""

    mode: str
    port: int | None
    """Where it answers; null if it does not."""
    certificate: Literal["own", "given", ""]
    """The one that is served: the device's own, or one that it was given."""
    fingerprint: str
    trouble: str
    """What is wrong with it, as a sentence."""


class Secure:
    """The listener and its certificate."""

    def __init__(self, settings: Settings, listener: socket.socket | None = None, trouble: str = "") -> None:
        self._settings = settings
        self._listener = listener
        self._broken = trouble
        self._context: ssl.SSLContext | None = None
        self._config: Config | None = None
        self._server: Companion | None = None
        self.certificate: Facts | None = None
        self.which: Literal["own", "given", ""] = ""
        self._port: int = 0 if listener is None else listener.getsockname()[1]

    @property
    def port(self) -> int | None:
        """Where HTTPS is answered, if it is."""
        return self._port if self._server is not None else None

    @property
    def only(self) -> bool:
        """Whether plain requests are sent on to it."""
        return self._settings.tls == "only" and self.port is not None and not self.trouble

    @property
    def trouble(self) -> str:
        """What is wrong with it, as a sentence; empty if nothing is."""
        if self._broken or self.certificate is None:
            return self._broken
        now = time.time()
        if expired(self.certificate, now):
            return f"The certificate expired on {day(self.certificate.ends)}."
        if early(self.certificate, now):
            return f"The certificate is valid from {day(self.certificate.begins)} on only."
        return ""

    def answer(self) -> TlsAnswer:
        """How it is."""
        return TlsAnswer(
            mode=self._settings.tls,
            port=self.port,
            certificate=self.which,
            fingerprint=self.certificate.fingerprint if self.certificate else "",
            trouble=self.trouble,
        )

    async def begin(self, config: Config) -> None:
        """Answer by HTTPS what `config` answers. Never raises for what is wrong with it."""
        self._config = config
        await self.reload()

    async def reload(self) -> None:
        """Serve what is published now."""
        if self._listener is None:
            return
        try:
            self._take()
            if self._server is None and self._config is not None:
                server = Companion(self._config, self._listener, self._context)
                await server.begin()
                self._server = server
        except (CertificateError, OSError) as error:
            self._broken = str(error)
            print(f"ovenbird-agent: HTTPS is not served: {error}", file=sys.stderr)

    def _take(self) -> None:
        """Have the context serve the first certificate that can be served. Raises CertificateError."""
        from ..tls import serving

        troubles: list[str] = []
        for which in store.WHICH:
            path = self._settings.certificates.published_file(which)
            identity = store.load(path)
            if identity is None:
                if path.exists():
                    troubles.append("A certificate that was published cannot be read.")
                continue
            try:
                fresh = serving.context(identity)
                if self._context is None:
                    self._context = fresh
                else:
                    serving.load(self._context, identity)
            except CertificateError as error:
                troubles.append(f"The certificate that was given cannot be served: {error}")
                continue
            self.which, self.certificate, self._broken = which, identity.facts, " ".join(troubles)
            return
        raise CertificateError(" ".join(troubles) or "This device has no certificate; its log tells why.")

    async def end(self) -> None:
        """Stop answering."""
        if self._server is not None:
            await self._server.end()

    def elsewhere(self, scope: Scope, headers: Headers) -> Response | None:
        """Where a plain request is sent on to, if it is: with its method and body (308)."""
        if scope["scheme"] != "http" or not self.only:
            return None
        if scope["path"] in _IN_CLEAR and scope["method"] in ("GET", "HEAD") and not wants_html(headers):
            return None
        host = _without_port(headers["host"])
        place = host if self.port == 443 else f"{host}:{self.port}"
        path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
        query = scope["query_string"].decode("ascii", "replace")
        return Response(
            status_code=308,
            headers={"Location": f"https://{place}{path}{f'?{query}' if query else ''}", "Vary": "Accept"},
        )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
