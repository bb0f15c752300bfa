"""The update page as one value: what is said, which rung of the ladder it is on, which checks hold, how it ended.

Made from four things that others know: the job in the steward, the health of a trial, the last update's record, and the
slot that runs. Nothing is decided here.
"""

from __future__ import annotations

import msgspec

from ...health.report import CheckReport
from ...update.record import Last
from ...update.snapshot import Update
from ..view import duration, sized
from .trial import Trial

RUNGS = ("Upload and write", "Read back", "Restart", "Trial", "Commit")
_PLACES = {"receiving": 0, "uploading": 0, "paused": 0, "verifying": 1, "restarting": 2, "armed": 2, "trial": 3}


class Step(msgspec.Struct, frozen=True):
    """One rung: `state` is done, now, failed or waiting."""

    name: str
    state: str
    note: str = ""


class Ending(msgspec.Struct, frozen=True):
    """How the last update ended."""

    title: str
    text: str = ""
    details: tuple[tuple[str, str], ...] = ()
    bad: bool = False
    good: bool = False
    log: bool = False


class Scene(msgspec.Struct, frozen=True):
    """All that the live part of the page shows."""

    state: str
    title: str
    lead: str
    busy: bool = False
    tone: str = ""
    steps: tuple[Step, ...] = ()
    share: float | None = None
    measure: str = ""
    checks: tuple[CheckReport, ...] = ()
    checks_title: str = ""
    countdown: str = ""
    last: Ending | None = None


class Facts(msgspec.Struct, frozen=True):
    """What the scene is made from."""

    slot: str
    version: str
    job: Update | None = None
    trial: Trial | None = None
    last: Last | None = None
    log: bool = False


def state_of(facts: Facts) -> str:
    """The one word for programs."""
    job = facts.job
    if job is not None and job.state == "armed":
        return "restarting" if job.rebooting else "armed"
    if job is not None and job.state != "failed":
        return "uploading" if job.state == "receiving" else job.state
    if facts.trial is not None:
        return "trial"
    return "idle"


def scene(facts: Facts) -> Scene:
    """What the page shows now."""
    state = state_of(facts)
    if state == "trial" and facts.trial is not None:
        return _trial(facts.trial, facts)
    job = facts.job
    if state != "idle" and job is not None:
        return _job(state, job)
    lead = f"Version {facts.version} runs."
    if facts.slot in ("a", "b"):
        lead = f"Slot {facts.slot} runs version {facts.version}."
    return Scene("idle", "Update", lead, last=_ending(facts))


def _job(state: str, job: Update) -> Scene:
    what = f"version {job.version}" if job.version else "a bundle"
    into = f" into slot {job.slot}" if job.slot else ""
    titles = {
        "uploading": ("Updating", f"Writing {what}{into}, while it arrives."),
        "paused": (
            "Interrupted",
            f"The connection was lost after {sized(job.received)}. Send the same file again within "
            f"{duration(job.paused_s or 0)}, and it goes on from there.",
        ),
        "verifying": ("Updating", f"Reading {what} back from the disk and comparing it with what was signed."),
        "restarting": ("Restarting", f"Slot {job.slot} is written and verified. The device restarts to try it."),
        "armed": ("Ready for its trial", f"Slot {job.slot} is written and verified. The next restart tries it."),
    }
    title, lead = titles[state]
    share, measure = _measure(state, job)
    return Scene(
        state,
        title,
        lead,
        busy=state not in ("armed", "paused"),
        steps=_ladder(_PLACES[state]),
        share=share,
        measure=measure,
    )


def _measure(state: str, job: Update) -> tuple[float | None, str]:
    if state == "verifying":
        total = job.total or 1
        return min(1.0, job.done / total), f"{sized(job.done)} of {sized(job.total)} compared"
    if state not in ("uploading", "paused"):
        return None, ""
    if job.size:
        return min(1.0, job.received / job.size), f"{sized(job.received)} of {sized(job.size)} received"
    if job.total:
        return min(1.0, job.done / job.total), f"{sized(job.done)} of {sized(job.total)} written"
    return None, f"{sized(job.received)} received"


def _ladder(place: int, *, failed: bool = False) -> tuple[Step, ...]:
    def state(index: int) -> str:
        if index < place:
            return "done"
        return "waiting" if index > place else "failed" if failed else "now"

    return tuple(Step(name, state(index)) for index, name in enumerate(RUNGS))


def _trial(trial: Trial, facts: Facts) -> Scene:
    held = sum(check.state == "ok" for check in trial.checks)
    what = f"Version {facts.version} in slot {facts.slot}"
    place, title = 3, "On trial"
    if trial.state == "waiting":
        place, lead = 4, f"{what} is healthy. It waits for you to commit it."
    elif trial.state == "rolling-back":
        title, lead = "Going back", f"{what} did not prove itself. The device restarts into slot {_other(facts.slot)}."
    else:
        lead = f"{what} has to prove itself, or the device goes back by itself."
    return Scene(
        "trial",
        title,
        lead,
        busy=True,
        steps=_ladder(place, failed=trial.state == "rolling-back"),
        checks=trial.checks,
        checks_title=f"{held} of {len(trial.checks)} checks hold",
        countdown="" if trial.remaining_s is None else duration(trial.remaining_s),
        last=Ending("What does not hold", trial.reason, bad=True) if trial.state == "rolling-back" else None,
    )


def _other(slot: str) -> str:
    return {"a": "b", "b": "a"}.get(slot, "the other")


_ENDS = {
    "committed": "Version {version} is committed",
    "rolled-back": "Version {version} was rolled back",
    "failed": "The last update was not installed",
    "armed": "Version {version} waits for its trial",
}


def _ending(facts: Facts) -> Ending | None:
    last = facts.last
    if last is None:
        return None
    title = _ENDS.get(last.outcome, "The last update: {outcome}").format(
        version=last.version or "?", outcome=last.outcome
    )
    text = last.message or last.reason
    if last.outcome == "committed" and not text:
        text = f"It runs from slot {last.slot}." if last.slot else ""
    return Ending(
        title,
        text,
        tuple((name, said) for name, said in last.details.items() if said and said not in text),
        bad=last.outcome in ("rolled-back", "failed"),
        good=last.outcome == "committed",
        log=facts.log and last.outcome == "rolled-back",
    )
