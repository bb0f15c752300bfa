"""Numbers with their units, as people read them."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(size: float) -> str:
    """A number of bytes as people read it, such as "61.5 MiB"."""
    value = size
    for unit in UNITS:
        if abs(value) < 1024 or unit == UNITS[-1]:
            return f"{size:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{size:.0f} B"
