"""The list of what runs here, as the page and programs get it: apps in the recipe's order, then units by name."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from ..format.apps import App
from . import names, systemd
from .newest import Newest
from .unit import Service, service

_FRESH = 1.0
"""Seconds for which one answer of systemd serves everybody."""


class Services(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was asked for."""

    apps: list[Service]
    units: list[Service] | None = None


class Catalog:
    """Knows the image's apps, and asks systemd and the journal about them."""

    def __init__(self, apps: Path, newest: Newest) -> None:
        self.apps = {one.name: one for one in names.load(apps)}
        self._newest = newest
        self._kept: dict[bool, tuple[float, Services]] = {}

    def unit_of(self, name: str) -> str:
        """The unit that a name stands for: of an app, else of the system; empty for what can be neither."""
        if name in self.apps:
            return self.apps[name].unit
        unit = f"{name}{names.SUFFIX}"
        return unit if names.is_unit(unit) else ""

    async def all(self, *, units: bool, lines: bool) -> Services:
        """The apps, with `units` the system's units too, with `lines` their newest lines. Raises SystemdError."""
        found = await self._all(units)
        if not lines:
            return found
        await self._newest.look([one.unit for one in found.apps])
        rest = None if found.units is None else [self._with_line(one) for one in found.units]
        return Services(apps=[self._with_line(one) for one in found.apps], units=rest)

    async def one(self, name: str, *, lines: bool) -> Service | None:
        """One of them; None for a name that is none of the list. Raises SystemdError."""
        unit = self.unit_of(name)
        if not unit:
            return None
        app = self._app(unit)
        told = await systemd.show([unit] if app else [systemd.only_loaded(unit)])
        if unit not in told:
            return service({}, 0.0, app) if app else None
        if lines:
            await self._newest.look([unit])
        return service(told[unit], time.monotonic(), app, self._newest.of(unit) if lines else "")

    def forget(self) -> None:
        """Something changed: ask again."""
        self._kept.clear()

    async def _all(self, units: bool) -> Services:
        now = time.monotonic()
        kept = self._kept.get(units)
        if kept is not None and now - kept[0] < _FRESH:
            return kept[1]
        wanted = [one.unit for one in self.apps.values()]
        told = await systemd.show([*wanted, systemd.EVERY] if units else wanted)
        now = time.monotonic()
        apps = [service(told.get(one.unit, {}), now, one) for one in self.apps.values()]
        rest = [service(told[unit], now) for unit in sorted(told) if names.is_unit(unit) and unit not in wanted]
        found = Services(apps=apps, units=rest if units else None)
        self._kept[units] = (now, found)
        return found

    def _app(self, unit: str) -> App | None:
        return next((one for one in self.apps.values() if one.unit == unit), None)

    def _with_line(self, one: Service) -> Service:
        return msgspec.structs.replace(one, last_line=self._newest.of(one.unit))
