"""`/changes`: who changed what on this device, and when. For who has the password: it tells addresses of people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..steward.changes import Change, read
from .negotiate import json, wants_html
from .view import stamps

if TYPE_CHECKING:
    from .app import Site

PATH = "/changes"
_SHOWN, _MOST = 100, 2000


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    changes: list[Change]


class Row(msgspec.Struct, frozen=True):
    """A change as the page shows it."""

    one: Change
    stamp: str
    shown: str


class ChangesPage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [Route(PATH, self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The newest changes; `?count=` says how many."""
        site = self._site
        refused = site.answer(request, await site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        count = request.query_params.get("count", str(_SHOWN))
        if not (count.isascii() and count.isdigit() and len(count) < 5 and 1 <= int(count) <= _MOST):
            raise HTTPException(400, f"count is a number from 1 to {_MOST}.")
        found = read(site.settings.state, int(count) + 1)
        more, found = len(found) > int(count), found[: int(count)]
        if not wants_html(request.headers):
            return json(request.headers, ChangeList(changes=found))
        rows = [_row(one) for one in found]
        return site.pages.show(
            request, "changes.html", signed_in=True, rows=rows, more=_MOST if more and int(count) < _MOST else 0
        )


def _row(one: Change) -> Row:
    return Row(one, *stamps(one.time))
