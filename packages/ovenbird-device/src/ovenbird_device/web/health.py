"""`/health`: whether the device is well, now and in the boots before; and the logs that trials left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..health import history, report
from ..health.history import Verdict
from ..health.report import CheckReport, Health
from .negotiate import json, wants_html
from .secure import TlsAnswer
from .update.trial import Trial
from .view import duration, stamps

if TYPE_CHECKING:
    from .app import Site

PATH = "/health"
_SHOWN = 30

_NOW = {
    "checking": ("Being judged", "This boot is looked at, and nothing is decided yet."),
    "good": ("Healthy", "Version {version} runs from slot {slot}, and is up."),
    "committed": ("Healthy", "Version {version} has proved itself in slot {slot}, and is committed."),
    "waiting": ("Healthy", "All checks hold. Version {version} waits to be committed by hand."),
    "rolling-back": ("Going back", "The trial failed; the device restarts into the other slot."),
    "unhealthy": ("Not well", "Version {version} in slot {slot} is not up as it should be."),
    "visiting": ("Not judged", "Somebody chose slot {slot} in the boot menu, so nothing is judged."),
    "rescue": ("Rescue", "Rescue runs; it is not judged."),
}
_BOOTS = {
    "good": "came up",
    "committed": "was committed",
    "waiting": "held all checks",
    "rolling-back": "failed its trial",
    "unhealthy": "was not well",
}
_TRIALS = {
    "committed": "Version {version} was committed",
    "rolling-back": "Version {version} was rolled back",
    "rolled-back": "Version {version} was rolled back",
    "lost": "Version {version} never came up",
}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What health says of the system as a whole; `state` and `watching` as in `health.report.Health`."""

    state: str
    reason: str
    watching: bool


class DataState(msgspec.Struct, frozen=True, kw_only=True):
    """How data came up in this boot."""

    state: str
    reason: str


class HealthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the device is well. `status`: `ok`, `trial` or `degraded`."""

    status: str
    agent: str
    system: Judged | None
    trial: Trial | None
    checks: tuple[CheckReport, ...]
    data: DataState
    tls: TlsAnswer
    uptime_s: float
    boot_id: str


class HealthHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first: how boots were judged, and how trials ended."""

    boots: list[Verdict]
    trials: list[report.Trial]


class HealthNow(msgspec.Struct, frozen=True):
    """The state in words."""

    tone: str
    title: str
    lead: str
    reason: str
    checks: tuple[CheckReport, ...]
    checks_title: str
    checks_note: str


class BootRow(msgspec.Struct, frozen=True):
    """A boot of the history."""

    one: Verdict
    stamp: str
    shown: str
    words: str
    bad: bool
    after: str


class TrialView(msgspec.Struct, frozen=True):
    """A trial of the history."""

    one: report.Trial
    title: str
    stamp: str
    shown: str
    bad: bool
    failing: tuple[CheckReport, ...]


class HealthPages:
    """Serves them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(f"{PATH}/history", self.history, methods=["GET"]),
            Route(f"{PATH}/trials/{{number:int}}/log", self.log, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Whether the device is well: always 200 while the agent answers. Needs no password."""
        if not wants_html(request.headers):
            return json(request.headers, self.answer())
        site = self._site
        fragment = request.headers.get("hx-request") == "true"
        known = None if fragment else self.known()
        return site.pages.show(
            request,
            "health_now.html" if fragment else "health.html",
            signed_in=site.auth.signed_in(request),
            now=self._now(),
            data=site.reader.data(),
            tls=site.secure.answer(),
            boots=[] if known is None else [_boot(one) for one in known.boots[:_SHOWN]],
            trials=[] if known is None else [_trial(one) for one in known.trials],
        )

    def answer(self) -> HealthAnswer:
        """The same for programs."""
        site = self._site
        data, health = site.reader.data(), site.updates.health()
        return HealthAnswer(
            status=site.state(),
            agent="up",
            system=None if health is None else _judged(health),
            trial=site.trial(),
            checks=() if health is None else health.checks,
            data=DataState(state=data.state, reason=data.reason),
            tls=site.secure.answer(),
            uptime_s=site.reader.uptime(),
            boot_id=site.boot_id,
        )

    async def history(self, request: Request) -> Response:
        """How the boots before were judged. Needs no password."""
        return json(request.headers, self.known())

    async def log(self, request: Request) -> Response:
        """The end of a trial's log."""
        site, number = self._site, int(request.path_params["number"])
        refused = site.answer(request, await site.auth.may_read(request), PATH)
        if refused is not None:
            return refused
        folder = site.settings.state / "trials"
        if all(one.number != number or not one.log for one in report.trials(folder)):
            raise HTTPException(404, "There is no such log.")
        try:
            text = report.log_path(folder, number).read_bytes()
        except OSError as error:
            raise HTTPException(404, f"The log cannot be read: {error.strerror}.") from error
        return Response(text, media_type="text/plain; charset=utf-8")

    def known(self) -> HealthHistory:
        """What is on record."""
        folder = self._site.settings.state
        trials = report.trials(folder / "trials")
        return HealthHistory(boots=history.read(folder, 500), trials=trials[::-1])

    def _now(self) -> HealthNow:
        site = self._site
        health, version = site.updates.health(), site.reader.image.version
        if health is None:
            return HealthNow("calm", "Not judged", "Nothing has judged this boot yet.", "", (), "", "")
        title, lead = _NOW.get(health.state, (health.state.capitalize(), ""))
        holds = "holds" if health.watching else "held"
        held = sum(check.state == "ok" for check in health.checks)
        bad = health.state in ("unhealthy", "rolling-back") or site.reader.data().state == "degraded"
        if title == "Healthy" and any(check.state == "failing" for check in health.checks):
            title, lead = "Up", f"{lead} Not everything that {'is' if health.watching else 'was'} looked at {holds}."
        return HealthNow(
            tone="bad" if bad else "good" if title == "Healthy" else "calm",
            title="Not well" if bad and title in ("Healthy", "Up") else title,
            lead=lead.format(version=version, slot=health.slot),
            reason=health.reason,
            checks=_failing_first(health),
            checks_title=f"{held} of {len(health.checks)} checks {'hold' if health.watching else 'held'}",
            checks_note="" if health.watching else _as_of(health, site.reader.uptime()),
        )


def _judged(health: Health) -> Judged:
    return Judged(state=health.state, reason=health.reason, watching=health.watching)


def _as_of(health: Health, uptime: float) -> str:
    """Of when it is what the checks found, once nobody looks any more."""
    last = max((check.at_s for check in health.checks if check.at_s is not None), default=None)
    if last is None:
        return ""
    ago = duration(max(0.0, uptime - last))
    return f"As last looked at {ago} ago, when this boot was judged. The next boot looks again."


def _failing_first(health: Health) -> tuple[CheckReport, ...]:
    order = {"failing": 0, "waiting": 1}
    return tuple(sorted(health.checks, key=lambda check: order.get(check.state, 2)))


def _boot(one: Verdict) -> BootRow:
    stamp, shown = stamps(one.time)
    bad = one.state in ("unhealthy", "rolling-back")
    return BootRow(one, stamp, shown, _BOOTS.get(one.state, one.state), bad, duration(max(0.0, one.after_s)))


def _trial(one: report.Trial) -> TrialView:
    stamp, shown = stamps(one.time)
    title = _TRIALS.get(one.outcome, "Version {version}: " + one.outcome).format(version=one.version or "unknown")
    failing = tuple(check for check in one.checks if check.state != "ok")
    return TrialView(one, title, stamp, shown, one.outcome != "committed", failing)
