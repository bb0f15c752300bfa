"""A trial as health tells of it (`/run/ovenbird/health.json`), for page and programs; and its log, if it failed."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from ...health import report
from ...health.report import CheckReport

ON_TRIAL = ("checking", "waiting", "rolling-back")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The trial under way. `state` is `checking`, `waiting` (for a commit by hand) or `rolling-back`."""

    state: str
    slot: str
    remaining_s: float | None = None
    """Seconds until it is given up, if its checks do not all hold before."""
    reason: str = ""
    checks: tuple[CheckReport, ...] = ()


def trial_of(health: report.Health | None, *, booted: bool, slot: str) -> Trial | None:
    """The trial under way; `booted` says that the boot loader called this boot one. None if there is none."""
    if health is None:
        return Trial(state="checking", slot=slot) if booted else None
    if not health.trial or health.state not in ON_TRIAL:
        return None
    left = None if health.deadline_s is None else round(max(0.0, health.deadline_s - time.monotonic()), 1)
    if health.state == "waiting":
        left = None
    return Trial(state=health.state, slot=health.slot, remaining_s=left, reason=health.reason, checks=health.checks)


def failed_log(folder: Path) -> Path | None:
    """The log of the newest trial if it failed and left one. `folder` is the agent's state folder."""
    trials = report.trials(folder / "trials")
    if not trials or trials[-1].outcome == "committed" or not trials[-1].log:
        return None
    return report.log_path(folder / "trials", trials[-1].number)
