"""Sizes as people write them in a recipe: "512M", "2G". Units are binary, as partitions are."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
PATTERN: Final = r"^[0-9]+[KMGT]$"
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMGT])")
_NEARLY: Final = re.compile(r"\s*([0-9]{1,15})(?:\.([0-9]{1,6}))?\s*([kmgt])?(?:i?b)?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of "64M", "2G" (K, M, G, T: powers of 1024). Raises ValueError with a reason and the right spelling."""
    found = _SIZE.fullmatch(text)
    if found is not None and text.isascii():
        return int(found[1]) * UNITS[found[2]]
    message = f'"{text[:40]}" is not a size'
    near = _NEARLY.fullmatch(text)
    if near is None or not text.isascii():
        raise ValueError(f'{message}: write a whole number and K, M, G or T, as in "512M"')
    whole, fraction, unit = near[1], near[2], near[3]
    if unit is None:
        raise ValueError(f'{message}: the unit is missing, write "{int(whole)}M" for {int(whole)} mebibytes')
    amount = int(whole) * UNITS[unit.upper()]
    if fraction:
        amount += int(fraction) * UNITS[unit.upper()] // 10 ** len(fraction)
    raise ValueError(f'{message}: write "{format_size(amount)}"')


def format_size(size: int) -> str:
    """The shortest exact spelling of a number of bytes that `parse_size` reads ("1536M"); below 1 KiB rounded up."""
    for unit in ("T", "G", "M"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return f"{-(-size // UNITS['K'])}K"
