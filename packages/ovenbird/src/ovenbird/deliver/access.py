"""Doing something that needs a device's password: with the one that is known, else with one that the user gives.

A password that the user gave is remembered once the device has taken it, and never before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ovenbird.deliver.link import PasswordError
from ovenbird.deliver.target import Target, remember, remembered

_Value = TypeVar("_Value")

Ask = Callable[[Target], Target]
"""Gets a device's password from the user."""


def with_password(target: Target, ask: Ask, attempt: Callable[[Target], _Value], *, needed: bool = True) -> _Value:
    """What `attempt` returns for the target with a password that the device takes. Not `needed`: the user is asked
    only if the device does not do it without. Raises what `attempt` raises, and PasswordError where the user's own
    answer, or the environment's, is wrong.
    """
    while True:
        if needed and target.password is None:
            target = ask(target)
        try:
            value = attempt(target)
        except PasswordError as error:
            if target.given or error.status == 429:
                raise
            if target.password is not None and remembered(target) != target.password:
                raise  # From the environment: asking would only hide that it is wrong.
            target, needed = replace(target, password=None), True
            continue
        if target.given and needed:  # Else the device may not have looked at it.
            remember(target)
        return value
