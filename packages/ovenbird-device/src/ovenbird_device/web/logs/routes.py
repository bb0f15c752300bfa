"""`/logs` and `/services/NAME/logs`: pages of lines, lines as they come (server-sent events), all lines as a file.

Programs print what is nobody else's business, so all of it needs the device's password.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...logs import query
from ...logs.follower import Follower
from ...logs.line import Entry
from ...logs.query import Query, QueryError
from ...logs.reader import Journal, LogsError, NoBootError, Page
from ..negotiate import json, wants_html
from ..stream import Stream
from .view import LogView

if TYPE_CHECKING:
    from ..app import Site

_MOST_READERS = 150
_MOST_DOWNLOADS = 4


class Logs:
    """Serves them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.journal = Journal(site.settings.journal)
        self.follower = Follower(self.journal)
        self._downloads = 0

    def routes(self) -> list[Route]:
        """What the site serves of the whole journal. Those of a service are the service's."""
        return [
            Route("/logs", self.all, methods=["GET"]),
            Route("/logs.txt", self.all_text, methods=["GET"]),
        ]

    async def all(self, request: Request) -> Response:
        """The whole journal."""
        refused = self._site.answer(request, await self._site.auth.may_read(request), "/logs")
        if refused is not None:
            return refused
        if _follows(request) or not wants_html(request.headers):
            return await self.answer(request, "")
        log = await self.view(request, "", "/logs")
        return self._site.pages.show(request, "logs.html", signed_in=True, log=log)

    async def all_text(self, request: Request) -> Response:
        """The whole journal as a file."""
        refused = self._site.answer(request, await self._site.auth.may_read(request), "/logs")
        return refused or await self.file(request, "", "journal")

    async def answer(self, request: Request, unit: str) -> Response:
        """A unit's lines (or all) for a program that may read them: a page, or a stream of events."""
        try:
            wanted, count, _ = self._question(request, unit)
            if not _follows(request):
                before = query.cursor(request.query_params.get("before", ""))
                return json(request.headers, await self.journal.before(wanted, count, before))
            place = request.headers.get("last-event-id") or request.query_params.get("after", "")
            if wanted.boot not in ("", "0"):
                raise QueryError("Only the log of this boot grows.")
            after = query.cursor(place)
        except QueryError as error:
            raise HTTPException(400, str(error)) from error
        except LogsError as error:
            raise HTTPException(404 if isinstance(error, NoBootError) else 503, str(error)) from error
        if self.follower.readers >= _MOST_READERS:
            raise HTTPException(503, "Too many follow the log already.")
        stream = _events(self.follower.follow(wanted, count, after))
        return Stream(stream, media_type="text/event-stream", headers={"Vary": "Accept"})

    async def file(self, request: Request, unit: str, name: str) -> Response:
        """All of a unit's lines (or of all) as text to keep."""
        try:
            wanted, _, _ = self._question(request, unit)
            await self.journal.last(wanted, 1)
        except QueryError as error:
            raise HTTPException(400, str(error)) from error
        except LogsError as error:
            raise HTTPException(404 if isinstance(error, NoBootError) else 503, str(error)) from error
        if self._downloads >= _MOST_DOWNLOADS:
            raise HTTPException(503, "Too many download logs at the moment.", {"Retry-After": "5"})
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
        headers = {"Content-Disposition": f'attachment; filename="{safe}.txt"'}
        return Stream(self._text(wanted), media_type="text/plain", headers=headers)

    async def view(self, request: Request, unit: str, path: str) -> LogView:
        """A unit's lines (or all) for a page; what went wrong stands in it."""
        values = request.query_params
        try:
            wanted, count, before = self._question(request, unit)
            page = await self.journal.before(wanted, count, before)
        except (QueryError, LogsError) as error:
            return LogView.of(path, values, Page(lines=[], more=False), trouble=str(error))
        return LogView.of(path, values, page)

    def _question(self, request: Request, unit: str) -> tuple[Query, int, str]:
        values = request.query_params
        return query.parse(values, unit), query.lines(values), query.cursor(values.get("before", ""))

    async def _text(self, wanted: Query) -> AsyncGenerator[bytes]:
        self._downloads += 1
        try:
            async for piece in self.journal.text(wanted):
                yield piece
        except LogsError as error:
            yield f"{error}\n".encode()
        finally:
            self._downloads -= 1


def _follows(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


async def _events(stream: AsyncGenerator[list[Entry]]) -> AsyncGenerator[bytes]:
    """Entries as server-sent events; a comment in every quiet quarter of a minute shows that the device is there."""
    yield b"retry: 2000\n\n"
    try:
        async for entries in stream:
            yield b"".join(entry.event for entry in entries) or b": still here\n\n"
    except LogsError as error:
        text = str(error).replace("\n", " ")
        yield f"event: trouble\ndata: {text}\n\n".encode()
    finally:
        await stream.aclose()
