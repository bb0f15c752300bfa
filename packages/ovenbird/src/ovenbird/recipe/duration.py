"""Times as people write them in a recipe: "90s", "5m", "1h"."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"s": 1, "m": 60, "h": 3600}
PATTERN: Final = r"^[0-9]+[smh]$"
_DURATION: Final = re.compile(r"([0-9]{1,9})([smh])")
_NEARLY: Final = re.compile(r"\s*([0-9]{1,9})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)?\s*", re.IGNORECASE)


def parse_duration(text: str) -> int:
    """Seconds of "90s", "5m", "1h". Raises ValueError with a reason and the right spelling."""
    if text.isascii() and (found := _DURATION.fullmatch(text)):
        return int(found[1]) * UNITS[found[2]]
    message = f'"{text[:40]}" is not a time'
    near = _NEARLY.fullmatch(text)
    if near is None or not text.isascii():
        raise ValueError(f'{message}: write a whole number and s, m or h, as in "90s" or "5m"')
    if near[2] is None:
        raise ValueError(f'{message}: the unit is missing, write "{int(near[1])}s" for {int(near[1])} seconds')
    raise ValueError(f'{message}: write "{int(near[1])}{near[2][0].lower()}"')


def format_duration(seconds: int) -> str:
    """The shortest exact spelling that `parse_duration` reads."""
    for unit in ("h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"
