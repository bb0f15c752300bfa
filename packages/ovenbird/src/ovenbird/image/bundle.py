"""Write a bundle (`.swu`): a signed description, then the boot and root images of one slot, for either slot.

The real `swupdate` installs what is written here, and so does the device's own installer. The boot image is compressed
(a FAT is mostly holes), the root is stored as it is (squashfs is compressed already). Equal inputs give equal bytes:
compression has no time in it, JSON is sorted, and an RSA signature is the same each time.

Format: `ovenbird_device/format/description.py` and `bundle.py`, which read it; SWUpdate's manual for the words.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.errors import ImageError
from ovenbird.files import sha256_of
from ovenbird_device.format import bundle, cpio, grubenv, selector
from ovenbird_device.format.description import DEVICE, PARTS
from ovenbird_device.format.selector import Slot

LEVEL = 6
MAKER = f"zlib {zlib.ZLIB_RUNTIME_VERSION} {LEVEL}"
"""What else decides over the bytes: for the step's key."""
CHUNK = 1 << 20

Sign = Callable[[bytes], bytes]
"""Takes the description's bytes and returns the detached CMS signature (DER)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a bundle says of itself. `compatible` are the hardware revisions that may take it."""

    name: str
    version: str
    board: str
    compatible: tuple[str, ...]
    description: str = ""
    tries: int = selector.TRIES


@dataclass(frozen=True, slots=True)
class _Part:
    """One image: its file, the file's place in the bundle, and the digests and size of the unpacked bytes."""

    filename: str
    stored: Path
    stored_sha256: str
    sha256: str
    size: int
    compressed: bool


def write_bundle(
    out: Path,
    *,
    facts: Facts,
    boot: Path,
    root: Path,
    sign: Sign,
    epoch: int,
    scratch: Path,
    devices: Mapping[tuple[str, Slot], str] | None = None,
) -> None:
    """Write the bundle of a boot and a root image; `epoch` in seconds since 1970, `scratch` is a folder to work in.

    `devices` puts other targets in the place of the slots' partitions. Raises ImageError for an image of 4 GiB or more.
    """
    packed = scratch / "boot.vfat.gz"
    boot_sha256, boot_size = _compress(boot, packed)
    parts = {
        "boot": _Part(packed.name, packed, sha256_of(packed), boot_sha256, boot_size, True),
        "root": _plain_part(root),
    }
    for part in parts.values():
        if part.stored.stat().st_size > cpio.MAX_SIZE:
            raise ImageError(
                f"{part.filename} has 4 GiB or more; a bundle cannot carry it", hint="make the root smaller"
            )
    text = describe(facts, parts, devices or {})
    signature = sign(text)
    with out.open("wb") as stream, cpio.Writer(stream, mtime=epoch) as archive:
        archive.file(bundle.DESCRIPTION, text)
        archive.file(bundle.SIGNATURE, signature)
        for name in PARTS:
            part = parts[name]
            with part.stored.open("rb") as source:
                archive.stream(part.filename, source, part.stored.stat().st_size)


def describe(facts: Facts, parts: Mapping[str, _Part], devices: Mapping[tuple[str, Slot], str]) -> bytes:
    """The text of `sw-description`: JSON, with a selection for each slot."""
    software = {
        "version": facts.version,
        "description": facts.description or f"{facts.name} {facts.version}",
        "hardware-compatibility": list(facts.compatible),
        # The selector's variables are ours alone: the real swupdate must not add its own.
        "bootloader_transaction_marker": False,
        "bootloader_state_marker": False,
        "ovenbird": {"format": 1, "name": facts.name, "board": facts.board},
        "stable": {
            f"copy-{number}": {
                "images": [_image(parts[part], _device(devices, part, slot)) for part in PARTS],
                "bootenv": [{"name": name, "value": value} for name, value in arming(slot, facts.tries).items()],
            }
            for number, slot in enumerate(Slot, 1)
        },
    }
    text = msgspec.json.encode({"software": software}, order="sorted")
    return msgspec.json.format(text, indent=2) + b"\n"


def arming(slot: Slot, tries: int) -> dict[str, str]:
    """The variables of the selector that put a slot on trial, for a `swupdate` that knows nothing of our rules."""
    armed = grubenv.load(selector.encode(selector.State(active=slot.other).arm(slot, tries)))
    return {name: armed[name] for name in ("trial", "tries", f"good_{slot}", f"failed_{slot}")}


def _device(devices: Mapping[tuple[str, Slot], str], part: str, slot: Slot) -> str:
    return devices.get((part, slot)) or DEVICE.format(part=part, slot=slot)


def _image(part: _Part, device: str) -> dict[str, object]:
    image: dict[str, object] = {
        "filename": part.filename,
        "device": device,
        "type": "raw",
        "sha256": part.stored_sha256,
        "installed-directly": True,
        "ovenbird": {"sha256": part.sha256, "size": part.size},
    }
    return image | ({"compressed": "zlib"} if part.compressed else {})


def _plain_part(file: Path) -> _Part:
    digest = sha256_of(file)
    return _Part("root.squashfs", file, digest, digest, file.stat().st_size, False)


def _compress(source: Path, target: Path) -> tuple[str, int]:
    """Compress a file; returns the SHA-256 and the size of what went in."""
    digest = hashlib.sha256()
    size = 0
    with (
        source.open("rb") as reading,
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as writing,
    ):
        while piece := reading.read(CHUNK):
            digest.update(piece)
            size += len(piece)
            writing.write(piece)
    return digest.hexdigest(), size
