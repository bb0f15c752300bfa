"""The agent's URLs. Each serves a page to browsers and JSON to programs; what they do is done elsewhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..facts import hardware
from ..facts.overview import Overview, Reader
from ..provision import password
from ..steward import client
from ..steward.protocol import PowerOff, Reboot
from ..steward.protocol import Request as StewardRequest
from .assets import Assets
from .auth import Auth, sender
from .guard import Guard
from .negotiate import json, refusal, wants_html
from .pages import Pages
from .settings import Settings
from .update.routes import PATH as UPDATE
from .update.routes import Updates
from .update.trial import trial_of

_FRESH = 1.0  # seconds for which one reading serves every visitor
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Ovenbird device", charset="UTF-8"'}

Endpoint = Callable[[Request], Awaitable[Response]]


class Site:
    """The device's pages and their state."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self.settings = settings
        self.reader = reader
        self.auth = Auth(settings)
        self._assets = Assets()
        self.pages = Pages(self._assets)
        self.boot_id = hardware.text(settings.places.processes / "sys/kernel/random/boot_id")
        self._kept: tuple[float, Overview] | None = None
        self._asking = asyncio.Lock()
        self.updates = Updates(self)

    def prepare(self) -> None:
        """Load and compile the templates, so that the first visitor does not wait for it."""
        self.pages.prepare()

    def routes(self) -> list[Route]:
        """Every URL of the device."""
        return [
            Route("/", self.overview, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/reboot", self.reboot, methods=["GET", "POST"]),
            Route("/poweroff", self.poweroff, methods=["GET", "POST"]),
            Route("/static/{name}", self.static, methods=["GET"]),
            *self.updates.routes(),
        ]

    async def overview(self, request: Request) -> Response:
        """How the device is. Needs no password."""
        overview = await self._overview()
        if not wants_html(request.headers):
            return json(request.headers, overview)
        fragment = request.headers.get("hx-request") == "true"
        return self.pages.overview(request, overview, signed_in=self.auth.signed_in(request), fragment=fragment)

    async def _overview(self) -> Overview:
        now = time.monotonic()
        if self._kept is None or now - self._kept[0] > _FRESH:
            if self.reader.wants_stamps and not self._asking.locked():
                async with self._asking:
                    await asyncio.to_thread(self.reader.read_stamps)
            self._kept = (now, self.reader.overview())
        return self._kept[1]

    async def health(self, request: Request) -> Response:
        """Whether the device is well, for programs: always 200 while the agent answers. Needs no password."""
        data = self.reader.data()
        health = self.updates.health()
        trial = trial_of(health, booted=self.reader.boot_note().trial, slot=self.reader.boot_note().slot)
        unhealthy = health is not None and health.state == "unhealthy"
        answer: dict[str, object] = {
            "status": "degraded" if data.state == "degraded" or unhealthy else "trial" if trial else "ok",
            "agent": "up",
            "system": None if health is None else {"state": health.state, "reason": health.reason},
            "trial": trial,
            "checks": [] if health is None else health.checks,
            "data": {"state": data.state, "reason": data.reason},
            "uptime_s": self.reader.uptime(),
            "boot_id": self.boot_id,
        }
        return json(request.headers, answer)

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
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise HTTPException(415, "Sign in with a form, or send the password by HTTP Basic with each request.")
        try:
            form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        except ValueError as error:
            raise HTTPException(400, "That is not the sign-in form.") from error
        target = _local(form.get("next", ["/"])[-1])
        verdict = await self.auth.check(sender(request), form.get("password", [""])[-1])
        if verdict == "right":
            response: Response = RedirectResponse(target, 303)
            # No Secure flag: the device is reached by plain HTTP inside a house.
            response.set_cookie(self.auth.cookie, self.auth.begin(), path="/", httponly=True, samesite="strict")
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
        self.auth.end(request)
        response = RedirectResponse("/", 303)
        response.delete_cookie(self.auth.cookie, path="/", httponly=True, samesite="strict")
        return response

    async def reboot(self, request: Request) -> Response:
        """Restart the device."""
        return await self._power(request, "reboot", Reboot())

    async def poweroff(self, request: Request) -> Response:
        """Turn the device off."""
        return await self._power(request, "poweroff", PowerOff())

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
        verdict = await self.auth.may_change(request)
        if verdict != "right":
            if wants_html(request.headers) and verdict == "none":
                return RedirectResponse(f"/login?next={quote(back)}", 303)
            return self.refuse(request, verdict)
        return await self._go(request, "reboot", order)

    async def _go(self, request: Request, name: str, order: StewardRequest) -> Response:
        try:
            await client.ask(self.settings.steward, order)
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        if wants_html(request.headers):
            return self.pages.going(request, name, self.boot_id)
        return json(request.headers, {"accepted": name}, 202)

    def refuse(self, request: Request, verdict: str) -> Response:
        """Answer a request whose password is missing, wrong, or comes too soon."""
        if verdict == "wait":
            seconds = max(1, round(self.auth.wait(sender(request)) + 0.5))
            return self.failure(
                request, 429, "Too many attempts.", f"Try again in {seconds} s.", {"Retry-After": str(seconds)}
            )
        text = "That is not this device's password." if verdict == "wrong" else "This needs the device's password."
        return self.failure(request, 401, text, f"Send it by HTTP Basic as user {password.USER}.", _CHALLENGE)

    async def failed(self, request: Request, error: Exception) -> Response:
        """What Starlette raises for unknown paths and methods, and what the pages raise themselves."""
        if not isinstance(error, HTTPException):
            return refusal(request.headers, 500, "The agent failed.", "Its journal tells more.")
        own = error.detail != HTTPStatus(error.status_code).phrase
        text = error.detail if own else _WORDS.get(error.status_code, f"{error.detail}.")
        return self.failure(request, error.status_code, text, "", dict(error.headers or {}))

    def failure(
        self, request: Request, status: int, text: str, hint: str = "", extra: dict[str, str] | None = None
    ) -> Response:
        """A refusal as page or JSON."""
        if wants_html(request.headers):
            response = self.pages.message(request, status, text, hint)
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
    app = Starlette(routes=site.routes(), exception_handlers={HTTPException: site.failed, 500: site.failed})
    app.router.redirect_slashes = False
    return Guard(app, settings, streams=frozenset({UPDATE}))
