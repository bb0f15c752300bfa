"""How devices are and what they run, asked side by side, and written for people."""

from __future__ import annotations

from collections.abc import Sequence

from ovenbird.deliver.access import Ask, with_password
from ovenbird.deliver.console import Console, Glance, Service, Services
from ovenbird.deliver.each import Result, each
from ovenbird.deliver.link import DeviceError
from ovenbird.deliver.logs import harmless
from ovenbird.deliver.target import Target

COLUMNS = ("device", "name", "version", "slot", "health", "model")
SERVICE_COLUMNS = ("device", "name", "state", ">since", ">restarts", ">memory", ">cpu", "last line")
WELL = frozenset({"ok", "trial", "healthy", "committed", "checking", "waiting"})
_LINE = 80  # characters of the last log line
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


class UnwellError(DeviceError):
    """The device answers, and says that it is not well."""


def glances(texts: Sequence[str]) -> list[Result[Glance]]:
    """How they are; a device that is not well has its glance, and an error too."""

    def work(target: Target, _: Ask) -> Glance:
        with Console(target) as console:
            return console.glance()

    return [_judged(result) for result in each(texts, work, _nobody)]


def _judged(result: Result[Glance]) -> Result[Glance]:
    if result.value is None or result.value.health in WELL:
        return result
    said = harmless(result.value.health) or "not known"
    hint = f"ovenbird logs {result.name} --level warning"
    return Result(result.name, result.value, UnwellError(f"its health is {said}", hint=hint))


def _nobody(target: Target) -> Target:
    return target


def services(texts: Sequence[str], ask: Ask, *, units: bool) -> list[Result[Services]]:
    """What they run."""

    def work(target: Target, ask: Ask) -> Services:
        def attempt(target: Target) -> Services:
            with Console(target) as console:
                return console.services(units=units)

        return with_password(target, ask, attempt, needed=False)

    return each(texts, work, ask)


def row(name: str, glance: Glance) -> list[str]:
    """A device, in the order of COLUMNS."""
    return [name, *map(harmless, (glance.name, glance.version, glance.slot, glance.health, glance.model))]


def service_rows(name: str, found: Services) -> list[list[str]]:
    """What a device runs, in the order of SERVICE_COLUMNS; apps come first."""
    return [[name, *_service(one)] for one in (*found.apps, *found.units)]


def _service(one: Service) -> list[str]:
    state = f"{one.state} ({one.exit})" if one.exit and one.state in ("failed", "restarting") else one.state
    return [
        harmless(one.name),
        harmless(state),
        "" if one.since_s is None else duration(one.since_s),
        str(one.restarts or ""),
        "" if one.memory is None else f"{one.memory / (1 << 20):.1f} MiB",
        "" if one.cpu_s is None else f"{one.cpu_s:.1f} s",
        harmless(one.last_line).partition("\n")[0][:_LINE],
    ]


def compact(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, alone: bool
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """A table without its first column, the device, where there is only one."""
    return (columns[1:], [one[1:] for one in rows]) if alone else (columns, list(rows))


def duration(seconds: float) -> str:
    """A time that passed, in its largest unit."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "now"
