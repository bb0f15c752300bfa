"""`sw-description`: the signed text of a bundle that says what is in it, for which machines, and where it belongs.

Format: SWUpdate, "sw-description: syntax and parameters"; JSON, or libconfig as swugenerator writes it. Of its many
features a device needs few: for each slot one selection with two raw images, each with its sha256. What would let a
bundle do anything else than fill a slot (scripts, files, other handlers, other devices) is refused with its reason.

A selection is recognised by where its images go, not by its name: `stable.copy-2` of one maker may be another's
`production.rootfs-b`. The fields in `ovenbird` are our own; the real swupdate ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, cast

import msgspec

from ovenbird_device.format import FormatError, libconfig
from ovenbird_device.format.selector import Slot

LARGEST: Final = 1 << 20
"""Bytes of the largest description; ours have some 2000."""
PARTS: Final = ("boot", "root")
"""The partitions of a slot, in the order in which they are written."""
DEVICE: Final = "/dev/disk/by-partlabel/{part}-{slot}"
COMPRESSIONS: Final = ("", "zlib")
_DEEPEST: Final = 6
_MOST_SELECTIONS: Final = 32
_MOST_IMAGES: Final = 32
_LONGEST: Final = 256
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_FILENAME: Final = re.compile(r"[^/\x00-\x1f]{1,255}")
_DEVICE: Final = re.compile(r"/dev/disk/by-partlabel/(boot|root)-([ab])")


class Image(msgspec.Struct, frozen=True):
    """One image of a selection. `sha256` is that of the bytes as stored in the bundle.

    `size` (bytes) and `unpacked_sha256` are those of what is written, where the bundle says so.
    """

    filename: str
    device: str
    sha256: str
    compressed: str = ""
    size: int | None = None
    unpacked_sha256: str | None = None

    @property
    def target(self) -> tuple[str, Slot] | None:
        """("root", slot) for a partition of a slot; None for any other device."""
        found = _DEVICE.fullmatch(self.device)
        return (found[1], Slot(found[2])) if found else None

    @property
    def written_sha256(self) -> str | None:
        """The signed digest of what is written: of what is unpacked, where it comes packed, if the bundle tells it."""
        return self.unpacked_sha256 if self.compressed else self.sha256


class Selection(msgspec.Struct, frozen=True):
    """One way to install a bundle: `name` as for `swupdate -e` ("stable,copy-1"). `beyond` names what we do not do."""

    name: str
    images: tuple[Image, ...]
    bootenv: tuple[tuple[str, str], ...] = ()
    beyond: tuple[str, ...] = ()


class Description(msgspec.Struct, frozen=True):
    """A whole description. `name`, `board` and `description` are for people and may be empty."""

    version: str
    compatible: tuple[str, ...]
    selections: tuple[Selection, ...]
    name: str = ""
    board: str = ""
    description: str = ""

    def fits(self, compatible: Iterable[str]) -> bool:
        """Whether a device that goes by these revisions may take the bundle. `#RE:` marks a regular expression."""
        return any(_matches(entry, revision) for entry in self.compatible for revision in compatible)

    def for_slot(self, slot: Slot) -> Selection:
        """The one selection that fills this slot and nothing else. FormatError says why there is none."""
        fitting = [one for one in self.selections if {image.target for image in one.images} == _targets(slot)]
        if not fitting:
            raise FormatError(f"the bundle has no images for {DEVICE.format(part='boot', slot=slot)} and its root")
        if len(fitting) > 1:
            names = " and ".join(one.name for one in fitting)
            raise FormatError(f"the bundle has more than one selection for slot {slot}: {names}")
        selection = fitting[0]
        if selection.beyond:
            wishes = ", ".join(selection.beyond)
            raise FormatError(f"the bundle's {selection.name} wants {wishes}; only plain images are taken")
        if len(selection.images) != len(PARTS):
            raise FormatError(f"the bundle's {selection.name} writes one partition twice")
        if len({image.filename for image in selection.images}) != len(PARTS):
            raise FormatError(f"the bundle's {selection.name} has one file for two partitions")
        return selection


def _targets(slot: Slot) -> set[tuple[str, Slot] | None]:
    return {(part, slot) for part in PARTS}


def _matches(entry: str, revision: str) -> bool:
    if not entry.startswith("#RE:"):
        return entry == revision
    try:
        return re.search(entry[4:], revision) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def load(raw: bytes) -> Description:
    """Read a description. Look at nothing in it before its signature is verified. FormatError says what is wrong."""
    if len(raw) > LARGEST:
        raise FormatError(f"the description has {len(raw)} bytes; at most {LARGEST} are allowed")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise FormatError("the description is not UTF-8") from error
    software = _table(_plain(text).get("software"), "software")
    own = _table(software.get("ovenbird", {}), "software.ovenbird")
    selections = tuple(_selections(software, (), 0))
    if not selections:
        raise FormatError("the description has no images")
    if len(selections) > _MOST_SELECTIONS:
        raise FormatError("the description has too many selections")
    version = _text(software, "version", "software")
    if not version.strip():
        raise FormatError("software.version is empty")
    return Description(
        version=version,
        compatible=_compatible(software),
        selections=selections,
        name=_text(own, "name", "ovenbird", ""),
        board=_text(own, "board", "ovenbird", ""),
        description=_text(software, "description", "software", ""),
    )


def _plain(text: str) -> dict[str, object]:
    if not text.lstrip().startswith("{"):
        return cast("dict[str, object]", libconfig.load(text))
    try:
        return _table(msgspec.json.decode(text), "the description")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FormatError(f"the description is not JSON: {error}") from error


def _table(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise FormatError(f"{where} is missing" if value is None else f"{where} is not a group")
    return cast("dict[str, object]", value)


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise FormatError(f"{where} is not a list")
    return cast("list[object]", value)


def _text(table: Mapping[str, object], name: str, where: str, default: str | None = None) -> str:
    value = table.get(name, default)
    if not isinstance(value, str) or len(value) > _LONGEST or not (value.isprintable() or not value):
        raise FormatError(f"{where}.{name} is {'missing' if value is None else 'not one line of text'}")
    return value


def _compatible(software: Mapping[str, object]) -> tuple[str, ...]:
    where = "software.hardware-compatibility"
    entries = _list(software.get("hardware-compatibility", []), where)
    found = [entry for entry in entries if isinstance(entry, str) and 0 < len(entry) <= _LONGEST]
    if len(found) != len(entries) or not found or len(found) > 64:
        raise FormatError(f"{where} must list for which machines the bundle is")
    return tuple(found)


def _selections(group: Mapping[str, object], path: tuple[str, ...], depth: int) -> Iterator[Selection]:
    """Every group with images, at whatever depth (a board's name, a set's name, a mode's name)."""
    if depth > _DEEPEST:
        raise FormatError("the description is nested too deeply")
    name = ",".join(path) or "software"
    if "ref" in group:
        raise FormatError(f"{name} refers to another selection; write it out")
    if "images" in group:
        listed = _list(group["images"], f"{name}.images")
        if len(listed) > _MOST_IMAGES:
            raise FormatError(f"{name} has too many images")
        beyond = tuple(f"{key}" for key in ("files", "scripts", "partitions") if group.get(key))
        images = [_image(_table(image, f"an image of {name}"), name) for image in listed]
        others = tuple(reason for _, reason in images if reason)
        yield Selection(name, tuple(image for image, _ in images), tuple(_bootenv(group, name)), (*beyond, *others))
    for key, value in group.items():
        if isinstance(value, dict) and key != "ovenbird":
            yield from _selections(cast("dict[str, object]", value), (*path, key), depth + 1)


def _image(table: Mapping[str, object], where: str) -> tuple[Image, str]:
    """An image, and what of it we do not do (empty if all is plain)."""
    filename = _text(table, "filename", where)
    if not _FILENAME.fullmatch(filename):
        raise FormatError(f"{where} has an unsafe file name")
    where = f"{where} {filename}"
    digest = _text(table, "sha256", where)
    if not _SHA256.fullmatch(digest):
        raise FormatError(f"{where}.sha256 is not a SHA-256")
    own = _table(table.get("ovenbird", {}), f"{where}.ovenbird")
    size, unpacked = own.get("size"), own.get("sha256")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise FormatError(f"{where}.ovenbird.size is not a number of bytes")
    if unpacked is not None and (not isinstance(unpacked, str) or not _SHA256.fullmatch(unpacked)):
        raise FormatError(f"{where}.ovenbird.sha256 is not a SHA-256")
    compressed = table.get("compressed", "")
    compressed = "zlib" if compressed is True else "" if compressed is False else compressed
    kind = _text(table, "type", where, "raw")
    offset = table.get("offset", 0) not in (0, "0")
    image = Image(
        filename,
        _text(table, "device", where, ""),
        digest.lower(),
        compressed if isinstance(compressed, str) else "?",
        size,
        unpacked.lower() if isinstance(unpacked, str) else None,
    )
    if kind != "raw":
        return image, f"the handler {kind}"
    if image.compressed not in COMPRESSIONS:
        return image, f"the compression {image.compressed}"
    if table.get("encrypted") not in (None, False):
        return image, "decryption"
    return image, "an image at an offset" if offset else ""


def _bootenv(group: Mapping[str, object], where: str) -> Iterator[tuple[str, str]]:
    for entry in _list(group.get("bootenv", []), f"{where}.bootenv")[:64]:
        table = _table(entry, f"an entry of {where}.bootenv")
        yield _text(table, "name", where), _text(table, "value", where, "")
