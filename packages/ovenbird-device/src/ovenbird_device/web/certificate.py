"""`/certificate`: what HTTPS is served with; another one is given, and taken away. Reading needs no password: whoever
connects is shown the certificate anyway.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..steward import client
from ..steward.protocol import Certificate, CertificateOwn
from ..tls import certificate
from ..tls.certificate import Facts, day
from .auth import peer
from .forms import fields
from .negotiate import json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH = "/certificate"
_PATIENCE = 60.0


class CertificateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What HTTPS is served with. `mode`: `also`, `only` or `off`; `port` is null where it is not served."""

    mode: str
    port: int | None
    source: Literal["own", "given", ""]
    """The device's own, or one that it was given."""
    certificate: Facts | None
    trouble: str
    """What is wrong, as a sentence."""


class CertificatePage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(PATH, self.give, methods=["POST"]),
            Route(f"{PATH}/own", self.own, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The certificate. Needs no password."""
        return self._page(request) if wants_html(request.headers) else json(request.headers, self.answer())

    def answer(self) -> CertificateAnswer:
        """The same for programs."""
        secure = self._site.secure
        return CertificateAnswer(
            mode=self._site.settings.tls,
            port=secure.port,
            source=secure.which,
            certificate=secure.certificate,
            trouble=secure.trouble,
        )

    async def give(self, request: Request) -> Response:
        """Use the one in the fields `chain` and `key`."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        form = await fields(request)
        text = f"{form.get('chain', '')}\n{form.get('key', '')}\n"
        try:
            certificate.split(text)  # What is none does not trouble the steward.
        except certificate.CertificateError as error:
            return self._bad(request, str(error))
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            sending = asyncio.create_task(asyncio.to_thread(_write, writing, text.encode("ascii", "replace")))
            order = Certificate(by=peer(request))
            await client.hand_over(site.settings.steward, order, reading, _PATIENCE)
        except client.StewardError as error:
            if error.reason == "certificate":
                return self._bad(request, str(error))
            raise HTTPException(503, str(error)) from error
        finally:
            os.close(reading)
        await sending
        return await self._changed(request)

    async def own(self, request: Request) -> Response:
        """Go back to the device's own."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        try:
            await client.ask(site.settings.steward, CertificateOwn(by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        return await self._changed(request)

    async def _changed(self, request: Request) -> Response:
        await self._site.secure.reload()
        return RedirectResponse(PATH, 303) if wants_html(request.headers) else json(request.headers, self.answer())

    def _bad(self, request: Request, trouble: str) -> Response:
        if wants_html(request.headers):
            return self._page(request, trouble)
        return self._site.failure(request, 400, trouble)

    def _page(self, request: Request, refused: str = "") -> Response:
        found = self.answer()
        facts = found.certificate
        print_ = facts.fingerprint if facts else ""
        return self._site.pages.show(
            request,
            "certificate.html",
            status=400 if refused else 200,
            signed_in=self._site.auth.signed_in(request),
            about=found,
            facts=facts,
            prints=[print_[at : at + 4] for at in range(0, len(print_), 4)],
            dates=(day(facts.begins), day(facts.ends)) if facts else (),
            old=facts is not None and time.time() > facts.ends,
            here_secure=request.url.scheme == "https",
            refused=refused,
        )


def _write(pipe: int, content: bytes) -> None:
    """Through a pipe, to its end; who reads may have had enough before."""
    try:
        with os.fdopen(pipe, "wb") as file:
            file.write(content)
    except BrokenPipeError:
        pass
