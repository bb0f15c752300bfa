"""Which output drives the fan: the one that the settings name, else the best that is there.

The best is who needs us least: the kernel's own governor, then a hwmon chip, then what the settings name of PWM
channels and GPIO lines, as nobody can know what else hangs there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from ..settings import Choice, Settings
from . import gpio, hwmon, keeping, kernel, line, pwm
from .output import Output, OutputError


class Places(msgspec.Struct, frozen=True):
    """Where the kernel shows its things; tests have others."""

    system: Path = Path("/sys")
    devices: Path = Path("/dev")


class Found(msgspec.Struct, frozen=True):
    """An output that can be had."""

    kind: str
    name: str
    open: Callable[[Mapping[str, int]], Output]
    """Takes it, given the descriptors that systemd kept. Raises OSError, OutputError."""


def look(settings: Settings, places: Places) -> Found:
    """The output to use; nothing is touched yet. Raises OutputError where there is none."""
    if settings.output is not Choice.AUTO:
        return _FINDERS[settings.output](settings, places)
    complaints: list[str] = []
    for choice, finder in _FINDERS.items():
        if choice in (Choice.PWM, Choice.GPIO) and not getattr(settings, choice):
            continue
        try:
            return finder(settings, places)
        except OutputError as error:
            complaints.append(str(error))
    raise OutputError("; ".join(complaints))


def _kernel(_: Settings, places: Places) -> Found:
    found = kernel.find(places.system)
    if found is None:
        raise OutputError("the kernel sees to no fan")
    return _simple(found)


def _hwmon(settings: Settings, places: Places) -> Found:
    found = hwmon.find(settings.hwmon, places.system)
    if found is None:
        raise OutputError("no hwmon chip has a fan's output")
    return _simple(found)


def _simple(found: Output) -> Found:
    return Found(found.kind, found.name, lambda _: found)


def _pwm(settings: Settings, places: Places) -> Found:
    channel = pwm.find(settings.pwm, places.system)
    return Found("pwm", channel.name, lambda _: pwm.Pwm(channel, settings.frequency, inverted=settings.inverted))


def _gpio(settings: Settings, places: Places) -> Found:
    place = line.find(settings.gpio, places.devices)

    def take(kept: Mapping[str, int]) -> Output:
        taken = _adopted(kept, place, inverted=settings.inverted)
        if taken is None:
            try:
                taken = line.take(place, on=True, inverted=settings.inverted)
            except OutputError:
                keeping.forget(place.store)  # systemd may keep it, and gives it to none but a daemon that starts
                taken = line.take(place, on=True, inverted=settings.inverted)
            keeping.keep(place.store, taken.descriptor)
            keeping.settle()
        frequency = gpio.FREQUENCY if settings.frequency is None else settings.frequency
        return gpio.Gpio(taken, place.name, frequency)

    return Found("gpio", place.name, take)


def _adopted(kept: Mapping[str, int], place: line.Place, *, inverted: bool) -> line.Line | None:
    """The line out of what systemd kept, if it is there. What else was kept is let go of: the settings have changed."""
    found: line.Line | None = None
    for name, descriptor in kept.items():
        if name == place.store and found is None:
            with suppress(OSError):
                found = line.adopt(descriptor, place, on=True, inverted=inverted)
                continue
        with suppress(OSError):
            os.close(descriptor)
        with suppress(OSError):
            keeping.forget(name)
    return found


_FINDERS: Mapping[Choice, Callable[[Settings, Places], Found]] = {
    Choice.KERNEL: _kernel,
    Choice.HWMON: _hwmon,
    Choice.PWM: _pwm,
    Choice.GPIO: _gpio,
}
