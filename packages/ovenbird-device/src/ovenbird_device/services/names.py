"""Which units people may see and touch. Agent and steward both ask: the steward does not take the agent's word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from ..format import FormatError, apps
from ..format.apps import App

Verb = Literal["start", "stop", "restart"]
VERBS: Final[tuple[Verb, ...]] = ("start", "stop", "restart")
SUFFIX: Final = ".service"

_UNIT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9:_.@\\-]{0,200})\.service\Z")
# They take the whole device down, and a page that stays up has orders of its own for that.
_HIDDEN = re.compile(
    r"(?:emergency|rescue|debug-shell|initrd-.*|systemd-(?:poweroff|reboot|halt|kexec|soft-reboot|suspend.*|hibernate.*"
    r"|hybrid-sleep|exit|quotacheck|battery-check))\.service\Z"
)
# Without them nobody could order anything any more.
_NEEDED = frozenset({"ovenbird-agent.service", "systemd-journald.service"})
_UNTOUCHABLE = frozenset({"ovenbird-steward.service", "dbus.service", "dbus-broker.service"})


def is_unit(text: str) -> bool:
    """Whether a text can be the name of a service's unit that is shown. What is not, reaches no command line."""
    return _UNIT.match(text) is not None and _HIDDEN.match(text) is None


def refusal(verb: Verb, unit: str) -> str:
    """Why a unit is not to be touched so, as a sentence; empty if it may be."""
    if unit in _UNTOUCHABLE or (unit in _NEEDED and verb == "stop"):
        return f"{unit.removesuffix(SUFFIX)} is what this page itself stands on."
    return ""


def load(path: Path) -> tuple[App, ...]:
    """The apps of the image; none where the list is missing, or makes no sense to this device."""
    try:
        return tuple(one for one in apps.load(path.read_bytes()).apps if is_unit(one.unit))
    except (OSError, FormatError):
        return ()
