"""`manifest.json`, which lies beside an image, and `image.json`, which lies inside of it.

The manifest says what was built out of what, for people, scripts and audits; `image.json`
(`/usr/lib/ovenbird/image.json`) says to a running device what it is. Both are plain JSON with sorted keys, and equal
for equal builds: no dates of the build, no names of machines.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ovenbird_device.format import FormatError

FORMAT = 1
_Value = TypeVar("_Value")
IMAGE_PATH = "usr/lib/ovenbird/image.json"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One output: its size in bytes and the SHA-256 of its content in hexadecimal digits."""

    size: int
    sha256: str


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One installed package of the distribution."""

    name: str
    version: str
    architecture: str = ""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the build and the key that stands for everything that went into it."""

    name: str
    key: str


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What a running device knows of its image. Unknown fields are ignored: a device must not choke on a newer
    image.
    """

    name: str
    version: str
    board: str
    architecture: str
    description: str = ""
    distribution: str = ""
    release: str = ""
    recipe: str = ""
    """SHA-256 of the recipe's merged content."""
    compatible: tuple[str, ...] = ()
    """The hardware revisions that a bundle may name; empty: the board's name."""
    format: int = FORMAT


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about one build."""

    image: Image
    recipe: str
    """SHA-256 of the recipe's merged content."""
    epoch: int
    """The time, in seconds since 1970, that all files carry at most."""
    kernel: str
    """Version of the kernel."""
    outputs: dict[str, File]
    packages: tuple[Package, ...]
    steps: tuple[Step, ...] = ()
    format: int = FORMAT


def dump(value: Manifest | Image) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def load_manifest(text: bytes) -> Manifest:
    """Read a manifest; FormatError says what is wrong and where."""
    return _load(text, Manifest, "manifest")


def load_image(text: bytes) -> Image:
    """Read an `image.json`; FormatError says what is wrong and where."""
    return _load(text, Image, "image description")


def _load(text: bytes, kind: type[_Value], what: str) -> _Value:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise FormatError(f"the {what} cannot be read: {error}") from error
