"""Services in words: how many are well, since when, with how much."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...services import names
from ...services.names import Verb
from ...services.unit import Service
from .. import view

_TONES = {"running": "good", "starting": "going", "stopping": "going", "restarting": "bad", "failed": "bad"}
_LEADS = {
    "running": "Running for {}.",
    "starting": "Starting for {}.",
    "stopping": "Stopping for {}.",
    "stopped": "Stopped {} ago.",
    "failed": "Failed {} ago.",
    "restarting": "Ended {} ago, and is started again.",
    "finished": "Finished {} ago.",
}


class ServiceView(msgspec.Struct, frozen=True):
    """One service beside its facts."""

    one: Service
    tone: str
    lead: str
    since: str
    facts: tuple[tuple[str, str], ...]
    verbs: tuple[Verb, ...]

    @classmethod
    def of(cls, one: Service) -> ServiceView:
        """A service in words."""
        since = "" if one.since_s is None else view.duration(one.since_s)
        lead = _LEADS[one.state].format(since) if since else f"{one.state.capitalize()}."
        return cls(one, _TONES.get(one.state, "calm"), lead, since, tuple(_facts(one)), _verbs(one))


def _facts(one: Service) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if one.memory is not None:
        facts.append(("Memory", view.sized(one.memory)))
    if one.cpu_s is not None:
        facts.append(("Processor", f"{one.cpu_s:.1f} s" if one.cpu_s < 100 else view.duration(one.cpu_s)))
    if one.restarts:
        facts.append(("Restarts", str(one.restarts)))
    if one.exit and one.state != "running":
        facts.append(("Ended with", one.exit))
    if one.ports:
        facts.append(("Ports", ", ".join(one.ports)))
    return facts


def _verbs(one: Service) -> tuple[Verb, ...]:
    """What can be done with it now."""
    runs = one.state in ("running", "starting", "restarting", "stopping")
    possible: tuple[Verb, ...] = ("restart", "stop") if runs else ("start",)
    return tuple(verb for verb in possible if not names.refusal(verb, one.unit))


def headline(apps: Sequence[Service]) -> str:
    """The one sentence on all apps."""
    if not apps:
        return "This image carries no apps."
    bad = [one.name for one in apps if one.state in ("failed", "restarting")]
    running = sum(one.state == "running" for one in apps)
    if bad:
        names_of = " and ".join((", ".join(bad[:-1]), bad[-1])) if len(bad) > 1 else bad[0]
        return f"{names_of} {'does' if len(bad) == 1 else 'do'} not stay up."
    if running == len(apps):
        return "One app, and it runs." if running == 1 else f"All {running} apps run."
    return f"{running} of {len(apps)} {'app' if len(apps) == 1 else 'apps'} {'runs' if running == 1 else 'run'}."
