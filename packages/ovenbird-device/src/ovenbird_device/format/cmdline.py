"""The kernel command line between the boot loader, the initrd and the device: `ovenbird.*` words.

One initrd serves every way to boot; these words tell it what to do. GRUB writes slot, root, data and trial, which only
it knows; the rest comes from the slot's `slot.cfg`. Everything that is not ours is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ovenbird_device.format import FormatError

PREFIX = "ovenbird."
ZRAM_DEFAULT = 50
PACKINGS = ("zstd", "lz4", "lzo-rle")
MOST = 2000
"""x86 takes 2048 bytes, and GRUB adds up to 150 of its own."""
_UNFIT = re.compile(r"[^\x21-\x7e]|['\"\\$`;&|<>{}]")


class Cmdline(msgspec.Struct, frozen=True):
    """What the words say. Empty strings and None: not said. `zram` is a percentage of the memory, `packing` how that is
    packed (`zstd`, `lz4`), `size` the root's bytes, `home` a URL as those of `overlays` are: with `#sha256=`, or with a
    signature beside it.
    """

    slot: str = ""
    root: str = ""
    hash: str = ""
    data: str = ""
    toram: bool = False
    overlays: tuple[str, ...] = ()
    zram: int = ZRAM_DEFAULT
    packing: str = ""
    size: int = 0
    home: str = ""
    trial: bool = False
    debug: bool = False
    others: tuple[str, ...] = ()


def words(text: str) -> list[str]:
    """The words of a command line; double quotes keep spaces together, as the kernel does it."""
    found: list[str] = []
    word: list[str] = []
    quoted = False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            if word:
                found.append("".join(word))
            word = []
        else:
            word.append(character)
    if word:
        found.append("".join(word))
    return found


def parse(text: str) -> Cmdline:
    """Read a command line; never fails, for a device must come up whatever is written there. The last word wins."""
    values: dict[str, str] = {}
    others: list[str] = []
    for word in words(text):
        if word.startswith(PREFIX):
            name, equals, value = word[len(PREFIX) :].partition("=")
            values[name] = value.strip('"') if equals else "1"
        else:
            others.append(word)
    zram, _, packing = values.get("zram", "").partition(":")
    size = values.get("size", "")
    return Cmdline(
        slot=values.get("slot", ""),
        root=values.get("root", ""),
        hash=values.get("hash", ""),
        data=values.get("data", ""),
        toram=_on(values.get("toram")),
        overlays=tuple(part for part in values.get("overlays", "").split(";") if part),
        zram=min(int(zram), 100) if re.fullmatch(r"[0-9]{1,3}", zram) else ZRAM_DEFAULT,
        packing=packing if packing in PACKINGS else "",
        size=int(size) if re.fullmatch(r"[0-9]{1,15}", size) else 0,
        home=values.get("home", ""),
        trial=_on(values.get("trial")),
        debug=_on(values.get("debug")),
        others=tuple(others),
    )


def _on(value: str | None) -> bool:
    return value not in (None, "", "0", "no")


def render(line: Cmdline) -> str:
    """The command line with these words, ours first; `parse` gives the same values back."""
    parts: list[str] = []
    for name in ("slot", "root", "hash", "data"):
        if value := getattr(line, name):
            parts.append(f"{PREFIX}{name}={_quoted(value)}")
    if line.overlays:
        parts.append(f"{PREFIX}overlays={_quoted(';'.join(line.overlays))}")
    if line.size:
        parts.append(f"{PREFIX}size={line.size}")
    if line.home:
        parts.append(f"{PREFIX}home={_quoted(line.home)}")
    if line.zram != ZRAM_DEFAULT or line.packing:
        parts.append(f"{PREFIX}zram={line.zram}{':' if line.packing else ''}{line.packing}")
    parts += [PREFIX + name for name in ("toram", "trial", "debug") if getattr(line, name)]
    return " ".join([*parts, *line.others])


def _quoted(value: str) -> str:
    return f'"{value}"' if any(character.isspace() for character in value) else value


def for_grub(parts: Iterable[str]) -> str:
    """The words of a slot's command line, joined, after a check that GRUB hands them over unchanged.

    FormatError for characters that GRUB's shell or its quoting would change, and for words that GRUB itself writes.
    """
    out: list[str] = []
    for part in parts:
        for word in part.split():
            if unfit := _UNFIT.search(word):
                raise FormatError(f"the kernel argument {word!r} has a {unfit.group()!r}, which GRUB would change")
            if word.partition("=")[0] in {PREFIX + name for name in ("slot", "root", "data", "trial")}:
                raise FormatError(f"the kernel argument {word!r} is the boot loader's to write")
            out.append(word)
    line = " ".join(out)
    if len(line) > MOST - 200:
        raise FormatError(f"the kernel arguments take {len(line)} characters; {MOST - 200} fit")
    return line
