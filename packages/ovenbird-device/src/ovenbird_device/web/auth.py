"""Who may change the device: its password by HTTP Basic for programs, a session cookie for browsers.

Sessions live in memory only and end with the agent, or when the password changes. Failed attempts make their sender
wait, twice as long each time; checks are done one at a time, so that guessing costs the device one core at most.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from typing import Literal

import msgspec
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ..provision import password
from .guard import from_browser
from .settings import Settings

_IDLE, _LONGEST = 12 * 3600.0, 7 * 86400.0
_MOST_SESSIONS, _MOST_SENDERS, _MOST_WAITING = 64, 512, 8
_FREE_TRIES, _LONGEST_WAIT = 4, 60.0
_MOST_KNOWN = 16

Verdict = Literal["right", "wrong", "wait", "none"]


class _Session(msgspec.Struct):
    started: float
    seen: float
    kept: str  # the hash that the password had when the session began


class Proof(msgspec.Struct, frozen=True):
    """What somebody was let in by, for what goes on after the answer: a session, or (empty) the password alone."""

    session: str
    kept: str  # the hash that the password had then


class _Sender(msgspec.Struct):
    failures: int
    until: float


class Throttle:
    """How long a sender has to wait after failed attempts: nothing for the first few, then 1, 2, 4 … 60 seconds."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def wait(self, sender: str, now: float) -> float:
        """Seconds until this sender may try again; 0.0 for at once."""
        known = self._senders.get(sender)
        return max(0.0, known.until - now) if known else 0.0

    def failed(self, sender: str, now: float) -> None:
        """Count a failed attempt. An hour of silence is forgiven."""
        known = self._senders.pop(sender, None)
        failures = 1 if known is None or now - known.until > 3600 else known.failures + 1
        delay = 0.0 if failures <= _FREE_TRIES else min(_LONGEST_WAIT, 2.0 ** min(failures - _FREE_TRIES - 1, 10))
        self._senders[sender] = _Sender(failures, now + delay)
        while len(self._senders) > _MOST_SENDERS:
            self._senders.popitem(last=False)

    def succeeded(self, sender: str) -> None:
        """Forget a sender's failures."""
        self._senders.pop(sender, None)


class Auth:
    """Checks passwords and keeps sessions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cookie = settings.cookie()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._throttle = Throttle()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[Verdict]] = {}

    @property
    def provisioned(self) -> bool:
        """Whether the device has a password at all."""
        return password.read(self._settings.password_file) is not None

    def cookie(self, request: HTTPConnection) -> str:
        """The name of the session's cookie. By HTTPS it is another one, which a browser takes and sends by HTTPS only:
        what was in clear once opens nothing there, and who has it cannot be signed out by a plain answer.
        """
        return f"__Host-{self._cookie}" if _secure(request) else self._cookie

    def signed_in(self, request: HTTPConnection) -> bool:
        """Whether a live session's cookie comes with the request. For reading only; see `may_change`."""
        token = self.token(request)
        session = self._sessions.get(token)
        if session is None:
            return False
        now = time.monotonic()
        kept = password.read(self._settings.password_file)
        if now - session.seen > _IDLE or now - session.started > _LONGEST or not kept or kept.hash != session.kept:
            del self._sessions[token]
            return False
        session.seen = now
        return True

    def proof(self, request: HTTPConnection) -> Proof:
        """By what this request, which was let in, was let in."""
        kept = password.read(self._settings.password_file)
        token = self.token(request)
        return Proof(token if self.signed_in(request) else "", kept.hash if kept else "")

    def stands(self, proof: Proof) -> bool:
        """Whether it would still be: nobody has signed out, and the password is the same."""
        kept = password.read(self._settings.password_file)
        return kept is not None and kept.hash == proof.kept and proof.session in ("", *self._sessions)

    async def may_change(self, request: Request) -> Verdict:
        """Whether this request may change the device: a session from our own page, or the password by Basic."""
        if from_browser(request.headers) and self.signed_in(request):
            return "right"
        given = basic(request.headers)
        if given is None:
            return "none"
        user, secret = given
        return await self.check(sender(request), secret if user == password.USER else None)

    async def may_read(self, request: Request) -> Verdict:
        """Whether this request may read what is not for everybody: a session suffices, as nothing changes."""
        return "right" if self.signed_in(request) else await self.may_change(request)

    def wait(self, who: str) -> float:
        """Seconds until `who` may try a password again."""
        return self._throttle.wait(who, time.monotonic())

    async def check(self, who: str, secret: str | None) -> Verdict:
        """Check a password; None stands for a wrong user name and takes as long."""
        if self._throttle.wait(who, time.monotonic()) > 0:
            return "wait"
        kept = password.read(self._settings.password_file)
        if kept is None:
            return "wrong"
        mark = hmac.digest(self._key, f"{kept.hash}\0{secret}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        if secret is None:
            return await self._compute(who, kept, None)
        if mark in self._known:
            return "right"
        if (under_way := self._under_way.get(mark)) is not None:
            # Many programs that come at once with the same password: one check tells all of them.
            return await asyncio.shield(under_way)
        outcome: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._under_way[mark] = outcome
        verdict: Verdict = "wait"
        try:
            verdict = await self._compute(who, kept, secret)
        finally:
            del self._under_way[mark]
            outcome.set_result(verdict)
        if verdict == "right":
            self._throttle.succeeded(who)
            self._keep(mark)
        return verdict

    async def _compute(self, who: str, kept: password.PasswordFile, secret: str | None) -> Verdict:
        """Check a password in its turn; only a few wait for theirs."""
        if self._waiting >= _MOST_WAITING:
            return "wait"
        self._waiting += 1
        try:
            async with self._turn:
                if self._throttle.wait(who, time.monotonic()) > 0:
                    return "wait"
                right = await asyncio.to_thread(password.matches, kept, secret or "") and secret is not None
        finally:
            self._waiting -= 1
        if not right:
            self._throttle.failed(who, time.monotonic())
        return "right" if right else "wrong"

    def _keep(self, mark: bytes) -> None:
        self._known[mark] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _begin(self, cookie: str) -> str:
        """A new session's token, which counts in a cookie of that name only."""
        kept = password.read(self._settings.password_file)
        token, now = secrets.token_urlsafe(32), time.monotonic()
        self._sessions[f"{cookie}={token}"] = _Session(now, now, kept.hash if kept else "")
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def renew(self, request: Request, response: Response) -> None:
        """Give who is signed in a new session with an answer: a changed password has ended all of them."""
        if request.cookies.get(self.cookie(request)):
            self._end(request)
            self.welcome(request, response)

    def welcome(self, request: Request, response: Response) -> None:
        """Begin a session with an answer. Its cookie is Secure if it goes by HTTPS."""
        name, secure = self.cookie(request), _secure(request)
        token = self._begin(name)
        response.set_cookie(name, token, path="/", httponly=True, samesite="strict", secure=secure)

    def forget(self, request: Request, response: Response) -> None:
        """End the request's session, if it has one."""
        self._end(request)
        response.delete_cookie(
            self.cookie(request), path="/", httponly=True, samesite="strict", secure=_secure(request)
        )

    def _end(self, request: Request) -> None:
        self._sessions.pop(self.token(request), None)

    def token(self, request: HTTPConnection) -> str:
        """What the request's session would go by; a cookie in clear is none by HTTPS."""
        name = self.cookie(request)
        return f"{name}={request.cookies.get(name, '')}"


def _secure(request: HTTPConnection) -> bool:
    return request.url.scheme in ("https", "wss")


def sender(request: HTTPConnection) -> str:
    """Who is made to wait: an IPv4 address, or the /64 that one IPv6 host commands."""
    address = _address(request)
    if isinstance(address, ipaddress.IPv6Address) and not address.is_link_local:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or "unknown")


def peer(request: HTTPConnection) -> str:
    """Who asks, for the list of changes: the whole address."""
    return str(_address(request) or "unknown")


def _address(request: HTTPConnection) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address((request.client.host if request.client else "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def basic(headers: Headers) -> tuple[str, str] | None:
    """User and password of HTTP Basic (RFC 7617), or None."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or len(value) > 4 * password.LONGEST:
        return None
    try:
        user, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64, or not UTF-8 inside
        return None
    return (user, secret) if colon else None
