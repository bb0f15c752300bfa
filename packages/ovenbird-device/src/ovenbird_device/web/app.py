"""The agent's URLs. Each serves a page to browsers and JSON to programs; what they do is done elsewhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from ..facts import hardware
from ..facts.overview import Overview, Reader
from ..format import terminal
from ..provision import password
from ..steward import client
from ..steward.protocol import PowerOff, Reboot
from ..steward.protocol import Request as StewardRequest
from .answers import Accepted
from .assets import Assets
from .auth import Auth, Verdict, peer, sender
from .certificate import CertificatePage
from .changes import ChangesPage
from .charts import charts
from .dev import PATH as DEV
from .dev import Development
from .forms import fields
from .guard import Guard
from .health import HealthPages
from .logs.routes import Logs
from .machine import Machine
from .negotiate import ASKS, json, refusal, wants_html
from .network import NetworkPage
from .pages import Pages
from .password import Passwords
from .secure import Secure
from .services.routes import ServicePages
from .settings import Settings
from .storage import StoragePage
from .support import SupportPage
from .terminal import STATIC, TerminalPage
from .update.routes import PATH as UPDATE
from .update.routes import Updates
from .update.trial import Trial, trial_of
from .users import UsersPage

_FRESH = 1.0  # seconds for which one reading serves every visitor
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Ovenbird device", charset="UTF-8"'}

Endpoint = Callable[[Request], Awaitable[Response]]


class Site:
    """The device's pages and their state."""

    def __init__(self, settings: Settings, reader: Reader, secure: Secure | None = None) -> None:
        self.settings = settings
        self.secure = secure or Secure(settings)
        self.reader = reader
        self.auth = Auth(settings)
        said = terminal.read(settings.terminal)
        self.terminal = TerminalPage(self, said.user) if said else None
        self._assets = Assets(STATIC) if said else Assets()
        self.pages = Pages(self._assets, terminal=said is not None)
        self.boot_id = hardware.text(settings.places.processes / "sys/kernel/random/boot_id")
        self._kept: tuple[float, Overview] | None = None
        self._asking = asyncio.Lock()
        self.updates = Updates(self)
        self.logs = Logs(self)
        self.services = ServicePages(self)
        self.machine = Machine(self)
        self.passwords = Passwords(self)
        self.changes = ChangesPage(self)
        self.health = HealthPages(self)
        self.support = SupportPage(self)
        self.storage = StoragePage(self)
        self.network = NetworkPage(self)
        self.users = UsersPage(self)
        self.certificates = CertificatePage(self)
        self.development = Development(self)

    def prepare(self) -> None:
        """Load and compile the templates, so that the first visitor does not wait for it."""
        self.pages.prepare()

    def routes(self) -> list[Route]:
        """Every URL of the device."""
        return [
            Route("/", self.overview, methods=["GET"]),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/reboot", self.reboot, methods=["GET"], name=ASKS),
            Route("/reboot", self.reboot, methods=["POST"]),
            Route("/poweroff", self.poweroff, methods=["GET"], name=ASKS),
            Route("/poweroff", self.poweroff, methods=["POST"]),
            Route("/static/{name}", self.static, methods=["GET"]),
            *self.updates.routes(),
            *self.services.routes(),
            *self.logs.routes(),
            *self.machine.routes(),
            *self.passwords.routes(),
            *self.changes.routes(),
            *self.health.routes(),
            *self.support.routes(),
            *self.storage.routes(),
            *self.network.routes(),
            *self.users.routes(),
            *self.certificates.routes(),
            *self.development.routes(),
            *(self.terminal.routes() if self.terminal else ()),
            Route("/openapi.json", self.description, methods=["GET"]),
        ]

    def sockets(self) -> list[WebSocketRoute]:
        """Every WebSocket of the device."""
        return self.terminal.sockets() if self.terminal else []

    async def overview(self, request: Request) -> Response:
        """How the device is. Needs no password."""
        overview = await self.facts()
        if not wants_html(request.headers):
            return json(request.headers, overview)
        fragment = request.headers.get("hx-request") == "true"
        return self.pages.overview(
            request,
            overview,
            signed_in=self.auth.signed_in(request),
            fragment=fragment,
            charts=None if fragment else charts(self.machine.sampler),
        )

    async def description(self, request: Request) -> Response:
        """What programs can ask of the device, as OpenAPI. Needs no password."""
        from .openapi import describe  # nobody else needs it

        return json(request.headers, describe(self.reader.image.version, terminal=self.terminal is not None))

    async def facts(self) -> Overview:
        """What the overview tells; one reading serves every visitor of a second."""
        now = time.monotonic()
        if self._kept is None or now - self._kept[0] > _FRESH:
            if self.reader.wants_stamps and not self._asking.locked():
                async with self._asking:
                    await asyncio.to_thread(self.reader.read_stamps)
            self._kept = (now, self.reader.overview())
        return self._kept[1]

    def trial(self) -> Trial | None:
        """The trial under way, if there is one."""
        note = self.reader.boot_note()
        return trial_of(self.updates.health(), booted=note.trial, slot=note.slot)

    def state(self) -> str:
        """How the device is, in one word: `ok`, `trial` or `degraded`."""
        health = self.updates.health()
        unhealthy = health is not None and health.state == "unhealthy"
        if self.reader.data().state == "degraded" or unhealthy:
            return "degraded"
        return "trial" if self.trial() else "ok"

    async def static(self, request: Request) -> Response:
        """A static file under its hashed name."""
        response = self._assets.response(request.url.path, request.headers)
        if response is None:
            raise HTTPException(404)
        return response

    async def login(self, request: Request) -> Response:
        """Sign a browser in with the device's password."""
        if request.method in ("GET", "HEAD"):
            return self.pages.login(request, target=_local(request.query_params.get("next", "/")))
        form = await fields(request)
        target = _local(form.get("next", "/"))
        verdict = await self.auth.check(sender(request), form.get("password", ""))
        if verdict == "right":
            response: Response = RedirectResponse(target, 303)
            self.auth.welcome(request, response)
            return response
        if not wants_html(request.headers):
            return self.refuse(request, verdict)
        if verdict == "wait":
            seconds = max(1, round(self.auth.wait(sender(request)) + 0.5))
            trouble = f"Too many attempts. Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
            response = self.pages.login(request, target=target, trouble=trouble, status=429)
            response.headers["Retry-After"] = str(seconds)
            return response
        trouble = "That is not this device's password."
        if not self.auth.provisioned:
            trouble = "This device has no password yet. Its console tells why."
        return self.pages.login(request, target=target, trouble=trouble, status=403)

    async def logout(self, request: Request) -> Response:
        """End the session."""
        response = RedirectResponse("/", 303)
        self.auth.forget(request, response)
        return response

    async def reboot(self, request: Request) -> Response:
        """Restart the device."""
        return await self._power(request, "reboot", Reboot(by=peer(request)))

    async def poweroff(self, request: Request) -> Response:
        """Turn the device off."""
        return await self._power(request, "poweroff", PowerOff(by=peer(request)))

    async def _power(self, request: Request, name: str, order: StewardRequest) -> Response:
        html = wants_html(request.headers)
        if request.method in ("GET", "HEAD"):
            if not html:
                raise HTTPException(405, headers={"Allow": "POST"})
            if not self.auth.signed_in(request):
                return RedirectResponse(f"/login?next={quote(f'/{name}')}", 303)
            return self.pages.confirm(request, name)
        verdict = await self.auth.may_change(request)
        if verdict != "right":
            if html and verdict == "none":
                return RedirectResponse(f"/login?next={quote(f'/{name}')}", 303)
            return self.refuse(request, verdict)
        return await self._go(request, name, order)

    async def restart(self, request: Request, back: str, order: StewardRequest) -> Response:
        """Restart by an order that does more than that; without a password, sign in and come `back`."""
        refused = self.answer(request, await self.auth.may_change(request), back)
        return refused or await self._go(request, "reboot", order)

    def answer(self, request: Request, verdict: Verdict, back: str) -> Response | None:
        """What a request without the right password gets: a browser signs in and comes `back`. None if it is right."""
        if verdict == "right":
            return None
        if wants_html(request.headers) and verdict == "none":
            return RedirectResponse(f"/login?next={quote(back)}", 303)
        return self.refuse(request, verdict)

    async def _go(self, request: Request, name: str, order: StewardRequest) -> Response:
        try:
            await client.ask(self.settings.steward, order)
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        if wants_html(request.headers):
            return self.pages.going(request, name, self.boot_id)
        return json(request.headers, Accepted(accepted=name), 202)

    def refuse(self, request: Request, verdict: str) -> Response:
        """Answer a request whose password is missing, wrong, or comes too soon."""
        if verdict == "wait":
            seconds = max(1, round(self.auth.wait(sender(request)) + 0.5))
            return self.failure(
                request, 429, "Too many attempts.", f"Try again in {seconds} s.", {"Retry-After": str(seconds)}
            )
        text = "That is not this device's password." if verdict == "wrong" else "This needs the device's password."
        # A page whose session is over would have the browser ask for a password in a window of its own.
        challenge = {} if self.auth.cookie(request) in request.cookies else _CHALLENGE
        return self.failure(request, 401, text, f"Send it by HTTP Basic as user {password.USER}.", challenge)

    async def failed(self, request: Request, error: Exception) -> Response:
        """What Starlette raises for unknown paths and methods, and what the pages raise themselves."""
        if not isinstance(error, HTTPException):
            return refusal(request.headers, 500, "The agent failed.", "Its journal tells more.")
        extra = dict(error.headers or {})
        if error.status_code == 405:
            extra["Allow"] = self._allowed(request)
        own = error.detail != HTTPStatus(error.status_code).phrase
        text = error.detail if own else _WORDS.get(error.status_code, f"{error.detail}.")
        return self.failure(request, error.status_code, text, "", extra)

    def _allowed(self, request: Request) -> str:
        """The methods of a path, of all its routes; those that only ask are none for programs."""
        html = wants_html(request.headers)
        found: set[str] = set()
        for route in self.routes():
            if route.path_regex.match(request.url.path) and (html or route.name != ASKS):
                found |= route.methods or set()
        return ", ".join(sorted(found))

    def failure(
        self, request: Request, status: int, text: str, hint: str = "", extra: dict[str, str] | None = None
    ) -> Response:
        """A refusal as page or JSON."""
        if wants_html(request.headers):
            signed_in = self.auth.signed_in(request)
            response = self.pages.message(request, status, text, hint, signed_in=signed_in)
            response.headers.update(extra or {})
            return response
        return refusal(request.headers, status, text, hint, extra)


_WORDS = {404: "There is no such page on this device.", 405: "That cannot be done with this page."}


def _local(target: str) -> str:
    """A path on this device to go to after signing in; anything that could lead elsewhere becomes `/`."""
    parts = urlsplit(target) if target.isprintable() and "\\" not in target else None
    if parts is None or parts.scheme or parts.netloc or not target.startswith("/") or target.startswith("//"):
        return "/"
    return target


def build(site: Site, settings: Settings) -> ASGIApp:
    """The whole application behind its guard."""
    routes = [*site.routes(), *site.sockets()]
    app = Starlette(routes=routes, exception_handlers={HTTPException: site.failed, 500: site.failed})
    app.router.redirect_slashes = False
    return Guard(app, settings, site.secure, streams=frozenset({UPDATE, DEV}))
