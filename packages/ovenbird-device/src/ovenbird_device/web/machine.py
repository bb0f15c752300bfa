"""The machine in numbers: `/status` for who looks for devices, `/history` for graphs, `/metrics` for Prometheus."""

from __future__ import annotations

import hashlib
import hmac
import socket
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..facts import hardware
from ..history import counters
from ..history.sampler import Sampler
from ..metrics import collect, text
from ..services.systemd import SystemdError
from ..update import record
from .charts import charts
from .negotiate import json, packed, wants_html

if TYPE_CHECKING:
    from .app import Site


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who this is, and how it is: `health` is `ok`, `trial` or `degraded`."""

    name: str
    version: str
    board: str
    model: str
    slot: str
    health: str
    boot_id: str
    """Changes with every boot."""
    hostname: str
    https: int | None
    """The port where HTTPS is answered; null if it is not."""
    https_only: bool
    """Whether everything else is answered there only."""
    id: str
    """Tells this device from others for good."""


class Machine:
    """Serves them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        places = site.settings.places
        self.sampler = Sampler(places.processes, places.system, places.data)
        self._identity = identity(hardware.text(site.settings.machine_id), site.boot_id)

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route("/status", self.status, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/history", self.history, methods=["GET"]),
        ]

    async def status(self, request: Request) -> Response:
        """Who this is and how it is, in a few words. Needs no password."""
        return json(request.headers, await self.answer())

    async def answer(self) -> StatusAnswer:
        """The same as a value."""
        site = self._site
        about = await site.facts()
        return StatusAnswer(
            name=about.image.name,
            version=about.image.version,
            board=about.image.board,
            model=about.model,
            slot=about.slot,
            health=site.state(),
            boot_id=site.boot_id,
            hostname=socket.gethostname(),
            https=site.secure.port,
            https_only=site.secure.only,
            id=self._identity,
        )

    async def history(self, request: Request) -> Response:
        """Up to twelve hours of samples; the graphs alone for htmx. Needs no password."""
        if not wants_html(request.headers):
            return json(request.headers, self.sampler.history())
        fragment = request.headers.get("hx-request") == "true"
        return self._site.pages.show(
            request,
            "charts_now.html" if fragment else "history.html",
            signed_in=self._site.auth.signed_in(request),
            charts=charts(self.sampler),
        )

    async def metrics(self, request: Request) -> Response:
        """Numbers for Prometheus. Needs no password."""
        return packed(request.headers, (await self.text()).encode(), text.CONTENT_TYPE)

    async def text(self) -> str:
        """The same as text."""
        site = self._site
        try:
            apps = (await site.services.catalog.all(units=False, lines=False)).apps
        except SystemdError:
            apps = []  # the rest is worth more than an error
        facts = collect.Facts(
            about=await site.facts(),
            counted=counters.read(site.settings.places.processes),
            healthy=site.state() != "degraded",
            last=record.last(site.settings.state),
            apps=apps,
            readers=site.logs.follower.readers,
        )
        return collect.render(facts)


def identity(machine: str, boot: str) -> str:
    """What tells this device from others for good. Made from its machine id, which itself is nobody's business."""
    key = (machine or boot).encode()
    return hmac.digest(key, b"ovenbird device", hashlib.sha256).hex()[:32]
