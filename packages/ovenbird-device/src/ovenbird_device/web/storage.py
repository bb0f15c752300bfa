"""`/storage`: how full and how worn the medium is; data grown by hand; the factory reset, which has to be typed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..facts import storage
from ..slots import disk
from ..slots.disk import SlotsError
from ..steward import client
from ..steward.protocol import FactoryReset, Grow
from . import view
from .answers import Accepted
from .auth import peer
from .forms import fields
from .negotiate import json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH = "/storage"
WORDS = "factory reset"
"""What has to be typed."""
_THINNEST = 0.6
"""Percent of the bar's width."""


class StorageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The medium and the data on it; `medium` is null if this system runs from none."""

    data: storage.DataUse
    medium: storage.Medium | None


class Part(msgspec.Struct, frozen=True):
    """A partition as a piece of the bar; `start` and `width` in percent."""

    name: str
    size: int
    start: float
    width: float
    layer: int


class StoragePage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(f"{PATH}/grow", self.grow, methods=["POST"]),
            Route(f"{PATH}/reset", self.reset, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """How full and how worn. Needs no password."""
        answer = self.answer()
        if not wants_html(request.headers):
            return json(request.headers, answer)
        data = answer.data
        return self._site.pages.show(
            request,
            "storage.html",
            signed_in=self._site.auth.signed_in(request),
            about=answer,
            headline=_headline(data),
            meter=view.data_meter(data.used, data.total, in_memory=data.state in ("tmpfs", "zram")),
            parts=_parts(answer.medium),
            words=WORDS,
        )

    def answer(self) -> StorageAnswer:
        """The same for programs."""
        places, state = self._site.settings.places, self._site.reader.data()
        try:
            root = disk.read_note(places.boot_note).root_device
        except SlotsError:
            root = ""
        return StorageAnswer(
            data=storage.data_use(places.data, state.state, state.reason, places.processes, places.system),
            medium=storage.medium(root, places.system),
        )

    async def grow(self, request: Request) -> Response:
        """Let data have the rest of its medium, as each boot does."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        try:
            await client.ask(site.settings.steward, Grow(by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        return (
            RedirectResponse(PATH, 303)
            if wants_html(request.headers)
            else json(request.headers, Accepted(accepted="grow"), 202)
        )

    async def reset(self, request: Request) -> Response:
        """Erase data at the next boot, which follows at once; `confirm` has to say so."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        if refused is not None:
            return refused
        given = await fields(request)
        if " ".join(given.get("confirm", "").lower().split()) != WORDS:
            raise HTTPException(400, f'Nothing was reset. Type "{WORDS}" to have it done.')
        return await site.restart(request, PATH, FactoryReset(by=peer(request)))


def _parts(medium: storage.Medium | None) -> list[Part]:
    """The partitions as pieces of a bar: the slots' are told apart by their layer, what is small is still seen."""
    if medium is None or not medium.size:
        return []
    shown = [max(one.size / medium.size * 100, _THINNEST) for one in medium.partitions]
    scale, start = 100 / max(sum(shown), 100.0), 0.0
    found: list[Part] = []
    for one, width in zip(medium.partitions, shown, strict=True):
        layer = 1 if one.name.endswith("-a") else 2 if one.name.endswith("-b") else 3 if one.name == "data" else 4
        found.append(Part(one.name, one.size, round(start, 2), round(width * scale - 0.15, 2), layer))
        start += width * scale
    return found


def _headline(data: storage.DataUse) -> str:
    if not data.total:
        return "How full data is cannot be told."
    if data.state == "degraded":
        return "Data is kept in memory, as its partition cannot be used."
    free = f"{view.sized(data.available)} of {view.sized(data.total)} are free."
    if data.state in ("tmpfs", "zram"):
        full = "It is nearly full: " if data.available < data.total / 20 else ""
        return f"What is written stays in memory, until the machine is switched off. {full}{free}"
    return f"Data is nearly full: {free}" if data.available < data.total / 20 else free
