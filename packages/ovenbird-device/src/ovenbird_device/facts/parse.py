"""Pure parsers of the small texts in which Linux describes itself.

Each takes the text of one file and returns plain values; a line that is not understood is left out rather than
raised, because a page about a device must come up on kernels nobody has seen yet. Formats: proc(5), sysfs(5).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

# What board makers leave in their firmware when they did not fill it in.
_DMI_NOISE = frozenset(
    {
        "",
        "0",
        "default string",
        "none",
        "not applicable",
        "not specified",
        "o.e.m.",
        "oem",
        "system manufacturer",
        "system product name",
        "system version",
        "to be filled by o.e.m.",
        "unknown",
    }
)


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo: where it is mounted, of what type, on which block device."""

    device: str  # "MAJOR:MINOR"
    root: str
    point: str
    kind: str
    source: str
    options: frozenset[str]


def number(text: str) -> float | None:
    """The finite number that a text is, else None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def uptime(text: str) -> float:
    """Seconds since the kernel started, from /proc/uptime; 0.0 when the text tells nothing."""
    first = text.split(maxsplit=1)[:1]
    value = number(first[0]) if first else None
    return value if value is not None and value >= 0 else 0.0


def load(text: str) -> tuple[float, float, float]:
    """The load averages of 1, 5 and 15 minutes, from /proc/loadavg."""
    values = [number(word) or 0.0 for word in text.split()[:3]]
    values += [0.0] * (3 - len(values))
    return values[0], values[1], values[2]


def memory(text: str) -> dict[str, int]:
    """Name to bytes, from /proc/meminfo (which counts in kB of 1024 bytes)."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or not words or not (words[0].isascii() and words[0].isdigit()):
            continue
        found[name.strip()] = int(words[0]) * (1024 if words[1:2] == ["kB"] else 1)
    return found


def key_values(text: str) -> dict[str, str]:
    """KEY=VALUE lines, as the initrd leaves in /run/ovenbird/boot and systemctl prints; later lines win."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() and not key.lstrip().startswith("#"):
            found[key.strip()] = value.strip()
    return found


def millidegrees(text: str) -> float | None:
    """Degrees Celsius from a sysfs temperature (thousandths); None for what no sensor can mean."""
    value = number(text.strip())
    if value is None or not -60_000 <= value <= 200_000 or value == 0:
        return None
    return round(value / 1000, 1)


def model(vendor: str, product: str, version: str = "") -> str | None:
    """A machine's name from its DMI vendor, product and version, without firmware makers' place-holders."""
    parts: list[str] = []
    for part in (vendor, product, version):
        clean = " ".join(part.replace("\0", " ").split())
        if clean.lower() in _DMI_NOISE or (parts and clean.lower() in " ".join(parts).lower()):
            continue
        parts.append(clean)
    return " ".join(parts) or None


def mounts(text: str) -> list[Mount]:
    """The mounts in /proc/self/mountinfo, in order; octal escapes in paths are undone."""
    found: list[Mount] = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        head, tail = before.split(), after.split(" ")
        if not dash or len(head) < 6 or len(tail) < 2:
            continue
        found.append(
            Mount(
                device=head[2],
                root=_unescape(head[3]),
                point=_unescape(head[4]),
                kind=tail[0],
                source=_unescape(tail[1]),
                options=frozenset(head[5].split(",")),
            )
        )
    return found


def _unescape(text: str) -> str:
    """Undo mountinfo's octal escapes of blank, tab, newline and backslash."""
    for code, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, plain)
    return text


def microseconds(values: Mapping[str, str], key: str) -> float | None:
    """A systemd monotonic stamp in seconds; None where systemd has none (it writes 0 then)."""
    text = values.get(key, "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    return int(text) / 1_000_000
