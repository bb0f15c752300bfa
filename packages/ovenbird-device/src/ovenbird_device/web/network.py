"""`/network`: what the network is, and changes of it, which are undone unless they are kept within a minute.

The change is kept by who is signed in, or by who knows its id: that is told to whoever made the change, and stands in
the links to the device's new addresses, where a browser is not signed in yet.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..facts import network
from ..facts.network import Link, Network
from ..network import settings, trial
from ..network.settings import NetworkSettings, SettingsError
from ..steward import client
from ..steward.protocol import NetworkKeep, NetworkTry, NetworkUndo
from .answers import Settled
from .auth import peer
from .forms import fields
from .negotiate import ASKS, json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH = "/network"
_STATUS = {"unknown": 404, "settings": 400, "busy": 409, "late": 409, "network": 503}
_SIGNALS = ((-55, "very good"), (-67, "good"), (-75, "fair"), (-1000, "weak"))


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A change that waits to be kept. `id` is told to who is signed in only."""

    id: str
    interface: str
    settings: NetworkSettings | None
    remaining_s: float
    trouble: str
    """Why it could not be put in force; it is undone then."""


class NetworkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The network, and the change that waits."""

    network: Network
    waiting: Waiting | None


_RADIO = {
    "searching": "looking for a network",
    "connected": "connected with {}",
    "lost": "lost {}, and looks for it",
    "refused": "{} does not take this device's password",
    "failed": "{} cannot be joined; perhaps its password is another one",
    "missing": "none of this device's networks is in reach",
}


class LinkView(msgspec.Struct, frozen=True):
    """An interface beside its facts."""

    one: Link
    state: str
    good: bool
    how: str
    signal: str
    radio: str
    trouble: bool
    """Whether `radio` tells of one."""


class NetworkPage:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(f"{PATH}/keep", self.keep, methods=["POST"]),
            Route(f"{PATH}/undo", self.undo, methods=["POST"]),
            Route(f"{PATH}/{{name}}", self.edit, methods=["GET"], name=ASKS),
            Route(f"{PATH}/{{name}}", self.change, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The network. Needs no password."""
        site = self._site
        signed_in = site.auth.signed_in(request)
        if not wants_html(request.headers):
            if request.headers.get("authorization") is not None:
                signed_in = await site.auth.may_read(request) == "right"
            return json(request.headers, await self.answer(signed_in=signed_in))
        fragment = request.headers.get("hx-request") == "true"
        known = request.query_params.get("keep", "")
        waiting = self._waiting(signed_in=True)
        mine = waiting is not None and (signed_in or _same(waiting.id, known))
        found = None if fragment else await self._look()
        return site.pages.show(
            request,
            "network_now.html" if fragment else "network.html",
            signed_in=signed_in,
            waiting=waiting,
            mine=mine,
            what=_words(waiting.settings) if waiting else "",
            ways=_ways(request, waiting) if waiting and mine else [],
            keep=known,
            network=found,
            links=[] if found is None else [_view(one) for one in found.links],
        )

    async def answer(self, *, signed_in: bool = False) -> NetworkAnswer:
        """The same for programs."""
        return NetworkAnswer(network=await self._look(), waiting=self._waiting(signed_in=signed_in))

    async def edit(self, request: Request) -> Response:
        """The form for an interface, for who is signed in."""
        if not wants_html(request.headers):
            raise HTTPException(405, headers={"Allow": "POST"})
        name = self._name(request)
        if not self._site.auth.signed_in(request):
            return RedirectResponse(f"/login?next={PATH}/{name}", 303)
        return await self._form(request, name, None)

    async def change(self, request: Request) -> Response:
        """Try new settings: `mode` is `dhcp`, `fixed` or `image`."""
        site, name = self._site, self._name(request)
        refused = site.answer(request, await site.auth.may_change(request), f"{PATH}/{name}")
        if refused is not None:
            return refused
        given = await fields(request)
        html = wants_html(request.headers)
        try:
            wanted = None if given.get("mode") == "image" else settings.parse(given)
        except SettingsError as error:
            if html:
                return await self._form(request, name, given, str(error))
            raise HTTPException(400, str(error)) from error
        try:
            answer = await client.ask(site.settings.steward, NetworkTry(name, wanted, by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(_STATUS.get(error.reason, 503), str(error)) from error
        if html:
            return RedirectResponse(PATH, 303)
        return json(request.headers, _waiting_of(msgspec.json.decode(answer.value, type=trial.Pending)), 202)

    async def keep(self, request: Request) -> Response:
        """Keep the change that waits: with the password, or with its `id`."""
        site = self._site
        given = (await fields(request)).get("id", "")
        waiting = self._waiting(signed_in=True)
        if waiting is None or not _same(waiting.id, given):
            refused = site.answer(request, await site.auth.may_change(request), PATH)
            if refused is not None:
                return refused
        if waiting is None:
            raise HTTPException(409, "There is no such change any more: it was undone, or kept already.")
        return await self._settle(request, NetworkKeep(given or waiting.id, by=peer(request)), "kept")

    async def undo(self, request: Request) -> Response:
        """Undo the change that waits, now."""
        site = self._site
        refused = site.answer(request, await site.auth.may_change(request), PATH)
        return refused or await self._settle(request, NetworkUndo(by=peer(request)), "undone")

    async def _settle(self, request: Request, order: NetworkKeep | NetworkUndo, word: str) -> Response:
        try:
            await client.ask(self._site.settings.steward, order)
        except client.StewardError as error:
            raise HTTPException(_STATUS.get(error.reason, 503), str(error)) from error
        return (
            RedirectResponse(PATH, 303) if wants_html(request.headers) else json(request.headers, Settled(outcome=word))
        )

    def _name(self, request: Request) -> str:
        name: str = request.path_params["name"]
        if not trial.changeable(name, self._site.settings.places.system):
            raise HTTPException(404, "This device has no such interface that could be set.")
        return name

    async def _form(self, request: Request, name: str, given: dict[str, str] | None, trouble: str = "") -> Response:
        kept = settings.read(trial.Places(kept=self._site.settings.networks).kept_file(name))
        if given is None:
            given = _fields(kept, await self._look(), name)
        return self._site.pages.show(
            request,
            "interface.html",
            status=400 if trouble else 200,
            signed_in=self._site.auth.signed_in(request),
            name=name,
            given=given,
            own=kept is not None,
            trouble=trouble,
            seconds=trial.SECONDS,
        )

    async def _look(self) -> Network:
        places = self._site.settings.places
        return await network.look(self._site.settings.networks, places.processes, places.system, self._runtime)

    @property
    def _runtime(self) -> Path:
        return self._site.settings.places.boot_note.parent.parent

    def _waiting(self, *, signed_in: bool) -> Waiting | None:
        found = trial.pending(self._site.settings.places.boot_note.with_name("network") / "pending.json")
        if found is None:
            return None
        waiting = _waiting_of(found)
        return waiting if signed_in else msgspec.structs.replace(waiting, id="")


def _waiting_of(found: trial.Pending) -> Waiting:
    return Waiting(
        id=found.id,
        interface=found.interface,
        settings=found.settings,
        remaining_s=round(max(0.0, found.deadline_s - time.monotonic()), 1),
        trouble=found.trouble,
    )


def _same(identity: str, given: str) -> bool:
    return bool(given) and secrets.compare_digest(identity.encode(), given.encode("utf-8", "surrogatepass"))


def _ways(request: Request, waiting: Waiting) -> list[tuple[str, str]]:
    """Where the device is to be found with its new addresses: the address, and the link that keeps the change."""
    if waiting.settings is None or waiting.trouble:
        return []
    port = request.url.port
    found: list[tuple[str, str]] = []
    for one in waiting.settings.addresses:
        address = one.partition("/")[0]
        host = f"[{address}]" if ":" in address else address
        found.append((address, f"http://{host}{f':{port}' if port else ''}{PATH}?keep={waiting.id}"))
    return found


def _words(given: NetworkSettings | None) -> str:
    if given is None:
        return "as the image has it"
    if not given.addresses:
        return "addresses from the network" + (f", name servers {', '.join(given.dns)}" if given.dns else "")
    parts = [", ".join(given.addresses)]
    parts += [f"gateway {', '.join(given.gateways)}"] if given.gateways else []
    parts += [f"name servers {', '.join(given.dns)}"] if given.dns else []
    return "; ".join(parts)


def _view(one: Link) -> LinkView:
    words = {"up": "up", "down": "no link", "dormant": "waiting", "unknown": "up" if one.addresses else "unknown"}
    signal = ""
    if one.signal_dbm is not None:
        grade = next(word for least, word in _SIGNALS if one.signal_dbm >= least)
        signal = f"{one.signal_dbm} dBm, {grade}"
    state = words.get(one.state, one.state)
    said = one.radio
    radio = "" if said is None else _RADIO.get(said.state, said.state).format(f"“{said.ssid}”" if said.ssid else "it")
    trouble = said is not None and said.state in ("refused", "failed", "missing")
    return LinkView(one, state, state == "up", _words(one.settings), signal, radio, trouble)


def _fields(kept: NetworkSettings | None, network: Network, name: str) -> dict[str, str]:
    """What the form begins with: what is set; else what is now, as a proposal for fixed addresses."""
    if kept is not None:
        mode = "fixed" if kept.addresses else "dhcp"
        return {"mode": mode, "addresses": " ".join(kept.addresses), "gateways": " ".join(kept.gateways),
                "dns": " ".join(kept.dns)}  # fmt: skip
    known = [address for link in network.links if link.name == name for address in link.addresses]
    now = [f"{one.address}/{one.prefix}" for one in known if ":" not in one.address]
    ways = [one.gateway for one in network.routes if one.interface == name and one.destination == "0.0.0.0/0"]
    return {"mode": "image", "addresses": " ".join(now), "gateways": " ".join(ways[:1]), "dns": ""}
