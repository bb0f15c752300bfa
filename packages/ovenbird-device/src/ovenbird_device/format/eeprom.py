"""The boot loader of a Pi 4 as its EEPROM has it, and the names by which a card asks the Pi's ROM to write it there.

At each start the ROM looks on the first FAT partition of the SD card for `recovery.bin`, and runs it in place of what
is in the EEPROM. It writes `pieeprom.upd` there, if the sum in `pieeprom.sig` is that file's; when that is done, it
calls itself `recovery.000` and resets. A card carries the three files under names that mean nothing to anybody, next
to each other in the first sector of the root directory. To ask is to give them their names, and that is one sector.

Sources: Raspberry Pi documentation, "EEPROM boot flow", "recovery.bin", "Bootloader update files"; of what an image is
made: rpi-eeprom, `rpi-eeprom-config` (sections), `rpi-eeprom-update` (its build time), `rpi-eeprom-digest` (`.sig`).
"""

from __future__ import annotations

import hashlib
import re
import struct
import time

import msgspec

from . import FormatError

SIZE = 512 << 10
"""Bytes of a Pi 4's EEPROM, and so of its image. That of a Pi 5 has four times as many."""
LEAST = 1666051200
"""2022-10-18: since then a boot loader in an EEPROM knows `[tryboot]` and `tryboot_a_b`, and falls back (rpi-eeprom,
"firmware-2711/release-notes.md"). Those of 2021-03-18 and newer know the flag, but not these."""
RECOVERY = "recovery.bin"
CARRIED = {"EEPROM.UPD": "PIEEPROM.UPD", "EEPROM.SIG": "PIEEPROM.SIG", "EEPROM.REC": "RECOVERY.BIN"}
"""The names of the files as they are carried, and as they ask. Capitals have no long names beside them."""
_SECTOR, _ENTRY = 512, 32
_MAGIC, _MASK, _FILE = 0x55AAF00F, 0xFFFFF00F, 0x55AAF11F
_SETTINGS = b"bootconf.txt"
_BUILT = re.compile(rb"BUILD_TIMESTAMP=([0-9]{9,10})(?![0-9])")
_DONE = re.compile(rb"RECOVERY[0-9]{3}")
_END, _FREE = 0x00, 0xE5
_LABEL, _FOLDER = 0x08, 0x10


class Image(msgspec.Struct, frozen=True):
    """What is carried. `built`: when it was made, in seconds since 1970; `digest`: SHA-256, hexadecimal."""

    built: int
    digest: str


def read_image(content: bytes) -> Image:
    """What an image for a Pi 4's EEPROM says of itself. Raises FormatError for anything else."""
    if len(content) != SIZE:
        raise FormatError(f"it has {len(content)} bytes, but the EEPROM of a Pi 4 has {SIZE}")
    offset, names = 0, set[bytes]()
    while offset + 8 <= SIZE:
        magic, length = struct.unpack_from(">II", content, offset)
        if magic in (0, 0xFFFFFFFF):
            break
        if magic & _MASK != _MAGIC or length > SIZE - offset - 8:
            raise FormatError(f"what lies at byte {offset} is no section of an EEPROM's image")
        if magic == _FILE:
            names.add(content[offset + 8 : offset + 20].rstrip(b"\0"))
        offset = (offset + 8 + length + 7) & ~7
    if _SETTINGS not in names:
        raise FormatError(f"it has no {_SETTINGS.decode()}, which every image of an EEPROM has")
    built = _BUILT.search(content)
    if built is None:
        raise FormatError("it does not say when its boot loader was built")
    return Image(int(built[1]), hashlib.sha256(content).hexdigest())


def day(built: int) -> str:
    """The day of a build, for people."""
    return time.strftime("%Y-%m-%d", time.gmtime(built))


def write_signature(image: Image) -> bytes:
    """The text of `pieeprom.sig`: the sum, and a time, for which the boot loader's own serves."""
    return f"{image.digest}\nts: {image.built}\n".encode("ascii")


def read_signature(text: bytes) -> Image:
    """What `pieeprom.sig` says. Raises FormatError."""
    found = re.fullmatch(rb"([0-9a-f]{64})\nts: ([0-9]{1,10})\n", text)
    if found is None:
        raise FormatError("the sum of the EEPROM's image makes no sense")
    return Image(int(found[2]), found[1].decode("ascii"))


def asking(sector: bytes) -> bytes:
    """The first sector of the root directory, with the carried files under the names that the ROM looks for.

    Raises FormatError if one of them is missing, or there is another of such a name.
    """
    found = _entries(sector)
    taken = sorted(name for name in CARRIED.values() if _short(name) in found)
    if taken:
        raise FormatError(f"the card has a {taken[0].lower()} already")
    if missing := sorted(name for name in CARRIED if _short(name) not in found):
        raise FormatError(f"the card carries no {missing[0].lower()}")
    out = bytearray(sector)
    for carried, name in CARRIED.items():
        _rename(out, found[_short(carried)], _short(name))
    return bytes(out)


def carried(sector: bytes) -> bytes:
    """The same sector with the names as they are carried, whatever of the others is there. Asks for nothing."""
    found = _entries(sector)
    out = bytearray(sector)
    for name, asks in CARRIED.items():
        if _short(name) in found:
            continue
        wanted = [_short(asks)]
        if asks == "RECOVERY.BIN":
            wanted += sorted(one for one in found if _DONE.fullmatch(one))
        for one in wanted:
            if one in found:
                _rename(out, found[one], _short(name))
                break
    return bytes(out)


def asks(sector: bytes) -> bool:
    """Whether the ROM would find something to run."""
    return _short("RECOVERY.BIN") in _entries(sector)


def _entries(sector: bytes) -> dict[bytes, int]:
    """The files of a sector of a directory: eleven bytes of name -> where the entry lies.

    Format: Microsoft, "FAT: General Overview of On-Disk Format", 1.03, "FAT Directory Structure".
    """
    found: dict[bytes, int] = {}
    for place in range(0, min(len(sector), _SECTOR) - _ENTRY + 1, _ENTRY):
        if sector[place] == _END:
            break
        if sector[place] != _FREE and not sector[place + 11] & (_LABEL | _FOLDER):
            found.setdefault(sector[place : place + 11], place)
    return found


def _short(name: str) -> bytes:
    stem, _, ending = name.partition(".")
    return f"{stem:8}{ending:3}".encode("ascii")


def _rename(sector: bytearray, place: int, name: bytes) -> None:
    sector[place : place + 11] = name
