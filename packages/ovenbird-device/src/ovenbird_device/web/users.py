"""`/users`: who can log in, by which SSH keys; keys are given and taken here. For who has the password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..accounts import keys, users
from ..steward import client
from ..steward.protocol import KeyAdd, KeyRemove
from .auth import peer
from .forms import fields
from .negotiate import json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH = "/users"
_LONGEST_NAME = 100


class UsersPage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(f"{PATH}/{{name}}/keys", self.add, methods=["POST"]),
            Route(f"{PATH}/{{name}}/keys/remove", self.remove, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """All accounts with their keys."""
        refused = self._site.answer(request, await self._site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        if not wants_html(request.headers):
            return json(request.headers, users.known(self._site.settings.users))
        return self._page(request)

    async def add(self, request: Request) -> Response:
        """Give an account the key in the field `key`."""
        site, name = self._site, str(request.path_params["name"])[:_LONGEST_NAME]
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        given = (await fields(request)).get("key", "")
        try:
            order = KeyAdd(name, keys.parse(given).line, by=peer(request))
        except keys.BadKeyError as error:
            return self._bad(request, name, given, str(error))
        return await self._order(request, order, given)

    async def remove(self, request: Request) -> Response:
        """Take away the key with the `fingerprint`."""
        site, name = self._site, str(request.path_params["name"])[:_LONGEST_NAME]
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        given = (await fields(request)).get("fingerprint", "")[:_LONGEST_NAME]
        return await self._order(request, KeyRemove(name, given, by=peer(request)))

    async def _order(self, request: Request, order: KeyAdd | KeyRemove, given: str = "") -> Response:
        site = self._site
        try:
            await client.ask(site.settings.steward, order)
        except client.StewardError as error:
            if error.reason == "key":
                return self._bad(request, order.user, given, str(error))
            raise HTTPException(404 if error.reason == "unknown" else 503, str(error)) from error
        if wants_html(request.headers):
            return RedirectResponse(PATH, 303)
        return json(request.headers, users.known(site.settings.users))

    def _bad(self, request: Request, name: str, given: str, trouble: str) -> Response:
        if wants_html(request.headers):
            return self._page(request, name, given, trouble)
        return self._site.failure(request, 400, trouble)

    def _page(self, request: Request, name: str = "", given: str = "", trouble: str = "") -> Response:
        known = users.known(self._site.settings.users)
        return self._site.pages.show(
            request,
            "users.html",
            status=400 if trouble else 200,
            signed_in=self._site.auth.signed_in(request),
            known=known,
            kinds=keys.KINDS,
            count=sum(len(one.keys) for one in known.users),
            name=name,
            given=given,
            trouble=trouble,
        )
