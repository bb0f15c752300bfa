"""`/services` and what is below it: the list, each service, its start and stop, its log. Changes need the password."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...services import names
from ...services.catalog import Catalog
from ...services.newest import Newest
from ...services.systemd import SystemdError
from ...services.unit import Service
from ...steward import client
from ...steward.protocol import Control
from ..answers import ServiceState
from ..auth import peer
from ..negotiate import json, wants_html
from .view import ServiceView, headline

if TYPE_CHECKING:
    from ..app import Site

PATH = "/services"
_STATUS = {"unknown": 404, "refused": 409}
_LONGEST_NAME = 220


class ServicePages:
    """Serves them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.catalog = Catalog(site.settings.apps, Newest(site.logs.journal))

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.list, methods=["GET"]),
            Route(f"{PATH}/{{name}}", self.show, methods=["GET"]),
            Route(f"{PATH}/{{name}}/logs", self.logs, methods=["GET"]),
            Route(f"{PATH}/{{name}}/logs.txt", self.text, methods=["GET"]),
            *(Route(f"{PATH}/{{name}}/{verb}", self.order, methods=["POST"]) for verb in names.VERBS),
        ]

    async def list(self, request: Request) -> Response:
        """All apps, with `?all=1` the system's units too. Their newest lines are for who may read logs."""
        units = request.query_params.get("all", "0").lower() in ("1", "true", "yes", "on")
        readable = await self._readable(request)
        try:
            found = await self.catalog.all(units=units, lines=readable)
        except SystemdError as error:
            raise HTTPException(503, str(error)) from error
        if not wants_html(request.headers):
            return json(request.headers, found)
        return self._site.pages.show(
            request,
            "services_now.html" if request.headers.get("hx-request") == "true" else "services.html",
            signed_in=self._site.auth.signed_in(request),
            apps=[ServiceView.of(one) for one in found.apps],
            units=None if found.units is None else [ServiceView.of(one) for one in found.units],
            headline=headline(found.apps),
        )

    async def show(self, request: Request) -> Response:
        """One service; its page has its log, for who is signed in."""
        one = await self._one(request, lines=await self._readable(request))
        if not wants_html(request.headers):
            return json(request.headers, one)
        return await self._page(request, one)

    async def logs(self, request: Request) -> Response:
        """The log of one service."""
        path = f"{PATH}/{quote(request.path_params['name'])}"
        refused = self._site.answer(request, await self._site.auth.may_read(request), path)
        if refused is not None:
            return refused
        one = await self._one(request, lines=False)
        if wants_html(request.headers) and "text/event-stream" not in request.headers.get("accept", ""):
            return await self._page(request, one)
        return await self._site.logs.answer(request, one.unit)

    async def text(self, request: Request) -> Response:
        """The log of one service as a file."""
        path = f"{PATH}/{quote(request.path_params['name'])}"
        refused = self._site.answer(request, await self._site.auth.may_read(request), path)
        if refused is not None:
            return refused
        one = await self._one(request, lines=False)
        return await self._site.logs.file(request, one.unit, one.name)

    async def order(self, request: Request) -> Response:
        """Start, stop or restart; answers once systemd has taken the order."""
        name, verb = request.path_params["name"], cast(names.Verb, request.url.path.rpartition("/")[2])
        path = f"{PATH}/{quote(name)}"
        refused = self._site.answer(request, await self._site.auth.may_change(request), path)
        if refused is not None:
            return refused
        unit = self.catalog.unit_of(name) if len(name) <= _LONGEST_NAME else ""
        if not unit:
            raise HTTPException(404, "This device runs nothing of that name.")
        try:
            await client.ask(self._site.settings.steward, Control(verb, unit, by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(_STATUS.get(error.reason, 503), str(error)) from error
        self.catalog.forget()
        if wants_html(request.headers):
            return RedirectResponse(path, 303)
        one = await self._one(request, lines=False)
        return json(request.headers, ServiceState(name=one.name, state=one.state), 202)

    async def _one(self, request: Request, *, lines: bool) -> Service:
        name = request.path_params["name"]
        try:
            one = await self.catalog.one(name, lines=lines) if len(name) <= _LONGEST_NAME else None
        except SystemdError as error:
            raise HTTPException(503, str(error)) from error
        if one is None:
            raise HTTPException(404, "This device runs nothing of that name.")
        return one

    async def _page(self, request: Request, one: Service) -> Response:
        site, path = self._site, f"{PATH}/{quote(one.name)}"
        fragment = request.headers.get("hx-request") == "true"
        readable = site.auth.signed_in(request) and not fragment
        return site.pages.show(
            request,
            "service_now.html" if fragment else "service.html",
            signed_in=site.auth.signed_in(request),
            about=ServiceView.of(one),
            path=path,
            log=await site.logs.view(request, one.unit, f"{path}/logs") if readable else None,
        )

    async def _readable(self, request: Request) -> bool:
        """Whether to show lines of the log. A wrong password costs those, and not the answer."""
        if request.headers.get("authorization") is None:
            return self._site.auth.signed_in(request)
        return await self._site.auth.may_read(request) == "right"
