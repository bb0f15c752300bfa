"""What a single text in `serve.toml` may look like, and the plain form of what names a client.

Words of the command line travel through iPXE, GRUB and PXELINUX. GRUB gets each in single quotes, and for the others
only white space ends a word, so that few signs are out: quotes and backslashes, `$`, and what kernels do not pass on.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from ovenbird.recipe import rules
from ovenbird.recipe.rules import Complaint

_MAC: Final = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)
_SERIAL: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?", re.ASCII)
_SIZE: Final = r"([1-9][0-9]{0,6}[KMG]?|[1-9][0-9]?%)"
_DATA: Final = re.compile(rf"(tmpfs|zram|local)(:{_SIZE})?", re.ASCII)
_MODE: Final = re.compile(r"[1-9][0-9]{2,4}x[1-9][0-9]{2,4}(@[1-9][0-9]{0,2})?", re.ASCII)
_CONNECTOR: Final = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*-[0-9]{1,2}", re.ASCII)
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~-]{0,126}", re.ASCII)
_BAD: Final = frozenset("\"'\\$`{}")
_OURS: Final = (
    "ovenbird.root",
    "ovenbird.hash",
    "ovenbird.slot",
    "ovenbird.trial",
    "initrd",
    "BOOTIF",
    "systemd.hostname",
)
_KEYS: Final = {
    "ovenbird.overlays": "overlays",
    "ovenbird.home": "home",
    "ovenbird.zram": "zram",
    "ovenbird.data": "data",
    "ovenbird.toram": "toram",
}
FIELDS: Final = ("{mac}", "{serial}")


def plain_mac(written: str) -> str:
    """A hardware address as this room keeps it: `52:54:00:12:34:56`; empty for what is none."""
    return written.lower().replace("-", ":") if _MAC.fullmatch(written) else ""


def plain_serial(written: str) -> str:
    """A serial number as this room compares it: without blanks around, in small letters."""
    return written.strip().lower()


def mac(text: str) -> Complaint | None:
    """A hardware address."""
    if _MAC.fullmatch(text):
        if int(text[:2], 16) & 1:
            return Complaint(f'"{text}" is an address of a group, not of a machine')
        return None
    return Complaint(f'"{text[:80]}" is no hardware address', 'write it as "52:54:00:12:34:56"')


def serial(text: str) -> Complaint | None:
    """A serial number: what firmware says, which may be nearly anything."""
    return (
        None
        if _SERIAL.fullmatch(text)
        else Complaint(f'"{text[:80]}" is no serial number: printable ASCII, at most 128')
    )


def ipv4(text: str) -> Complaint | None:
    """An address of IPv4: what firmware boots by."""
    complaint = rules.host_address(text)
    if complaint is None and ":" in text:
        return Complaint(f'"{text}" is an address of IPv6, and clients are booted by IPv4')
    return complaint


def mode(text: str) -> Complaint | None:
    """What a screen shows."""
    return (
        None
        if _MODE.fullmatch(text)
        else Complaint(f'"{text[:80]}" is no mode', 'write it as "1920x1080" or "1920x1080@60"')
    )


def connector(text: str) -> Complaint | None:
    """The kernel's name of a screen's connector, as in /sys/class/drm."""
    if _CONNECTOR.fullmatch(text):
        return None
    return Complaint(f'"{text[:80]}" is no connector', 'write it as /sys/class/drm has it: "HDMI-A-1", "DP-2", "VGA-1"')


def data(text: str) -> Complaint | None:
    """Where the writable layer is."""
    if _DATA.fullmatch(text):
        return None
    return Complaint(f'"{text[:80]}" is no place for changes', 'write "tmpfs:512M", "zram:20%" or "local"')


def host_template(text: str) -> Complaint | None:
    """A host name, with fields to fill in."""
    filled = text
    for name in FIELDS:
        filled = filled.replace(name, "0")
    return rules.hostname(filled)


def argument(text: str) -> Complaint | None:
    """One word for the kernel, which is not the server's own to say."""
    if not text or not text.isascii() or not text.isprintable():
        return Complaint("a word of the command line is printable ASCII, and not empty")
    if " " in text:
        return Complaint(
            f'"{text[:80]}" is more than one word', "write " + ", ".join(f'"{word}"' for word in text.split())
        )
    bad = sorted(set(text) & _BAD)
    if bad or text[0] == "#":
        return Complaint(f'"{text[:80]}" cannot be passed through the boot programs because of {" ".join(bad or "#")}')
    key = text.split("=")[0]
    if key in _KEYS:
        return Complaint(f"`{key}` is the key `{_KEYS[key]}` of a client", f"write `{_KEYS[key]} = …`")
    if key in _OURS:
        hint = "write `hostname = …`" if key == "systemd.hostname" else None
        return Complaint(f"`{key}` is set by the server", hint)
    return None


def overlay_url(text: str) -> Complaint | None:
    """Where an overlay is; `;` stands between overlays on the command line."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https", "tftp") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        return Complaint(f'"{text[:80]}" is no address of an overlay', "write it as http://, https:// or tftp://")
    if ";" in text:
        return Complaint(f'"{text[:80]}" has ";" in it, which stands between overlays', "write a list of them")
    return argument(text)


def overlay_file(text: str) -> Complaint | None:
    """The name of an overlay's file: it becomes part of a URL."""
    if _FILE.fullmatch(text):
        return None
    return Complaint(f'"{text[:80]}" cannot be served by that name: use letters, digits and . _ + ~ -')


def host_label(text: str) -> str:
    """A text as one label of a host name; empty if nothing of it can stand there."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
