"""One unit as `systemctl show` tells it, in the words of the page. Pure; see org.freedesktop.systemd1(5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from ..facts import parse
from ..format.apps import STAY_DOWN, App
from .names import SUFFIX

PROPERTIES = (
    "Id",
    "Description",
    "LoadState",
    "ActiveState",
    "SubState",
    "Type",
    "UnitFileState",
    "NRestarts",
    "MemoryCurrent",
    "CPUUsageNSec",
    "MainPID",
    "ExecMainCode",
    "ExecMainStatus",
    "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
)
State = Literal["running", "starting", "stopping", "stopped", "failed", "restarting", "finished"]

_UNSET = (1 << 64) - 1
_EXITED, _KILLED, _DUMPED = "1", "2", "3"  # CLD_EXITED and so on, see waitid(2)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """An app or a unit. `memory` is bytes, `since_s` seconds in its state, `cpu_s` seconds of one core."""

    name: str
    unit: str
    app: bool
    kind: str
    description: str
    state: State
    since_s: float | None
    restarts: int
    memory: int | None
    cpu_s: float | None
    pid: int | None
    exit: str
    """How its process last ended: `code 1`, `signal 9`; empty if it did not."""
    last_line: str
    ports: tuple[str, ...]
    start: str
    """`boot` or `manual`."""


def blocks(text: str) -> Iterator[Mapping[str, str]]:
    """The units in the output of `systemctl show`: lines of KEY=VALUE, with an empty line between units."""
    for block in text.split("\n\n"):
        values = parse.key_values(block)
        if values.get("Id"):
            yield values


def is_loaded(values: Mapping[str, str]) -> bool:
    """Whether there is such a unit."""
    return values.get("LoadState") == "loaded"


def service(values: Mapping[str, str], now: float, app: App | None = None, last_line: str = "") -> Service:
    """A unit in our words. `now` is the monotonic clock, in seconds."""
    unit = app.unit if app else values.get("Id", "")
    state = state_of(values)
    entered = "ActiveEnterTimestampMonotonic" if state == "running" else "StateChangeTimestampMonotonic"
    since = parse.microseconds(values, entered) or parse.microseconds(values, "StateChangeTimestampMonotonic")
    enabled = values.get("UnitFileState", "") in ("enabled", "enabled-runtime", "static", "generated", "alias")
    cpu = _number(values, "CPUUsageNSec")
    return Service(
        name=app.name if app else unit.removesuffix(SUFFIX),
        unit=unit,
        app=app is not None,
        kind=app.kind if app else "unit",
        description=(app.description if app else "") or values.get("Description", ""),
        state=state,
        since_s=None if since is None else round(max(0.0, now - since), 1),
        restarts=_number(values, "NRestarts") or 0,
        memory=_number(values, "MemoryCurrent") if state not in ("stopped", "failed", "finished") else None,
        cpu_s=None if cpu is None else round(cpu / 1e9, 3),
        pid=_number(values, "MainPID") or None,
        exit=_exit(values),
        last_line=last_line,
        ports=app.ports if app else (),
        start=app.start if app else "boot" if enabled else "manual",
    )


def state_of(values: Mapping[str, str]) -> State:
    """systemd's states in one word."""
    active, sub = values.get("ActiveState", ""), values.get("SubState", "")
    match active:
        case "active" | "reloading" | "refreshing":
            return "finished" if sub == "exited" else "running"
        case "activating":
            return "restarting" if sub.startswith("auto-restart") else "starting"
        case "deactivating":
            return "stopping"
        case "failed":
            return "stopped" if _exit(values) == f"code {STAY_DOWN}" else "failed"
        case _:
            done = values.get("Type") == "oneshot" and values.get("ExecMainCode") == _EXITED
            return "finished" if done else "stopped"


def _exit(values: Mapping[str, str]) -> str:
    code, status = values.get("ExecMainCode", "0"), values.get("ExecMainStatus", "0")
    if code == _EXITED:
        return f"code {status}"
    return f"signal {status}" if code in (_KILLED, _DUMPED) else ""


def _number(values: Mapping[str, str], key: str) -> int | None:
    """A number; None for `[not set]`, which older systemd writes as the largest one."""
    text = values.get(key, "")
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) == _UNSET:
        return None
    return int(text)
