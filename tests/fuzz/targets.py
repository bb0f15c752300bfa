"""What is fuzzed: each target takes any bytes and may only return or raise FormatError.

More than "no crash" is claimed: what is read keeps to what the caller relies on (an image's bytes are the signed ones,
a selection fills its own slot and nothing else, a state can be written and read again).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping

from ovenbird_device.format import FormatError, bundle, cpio, description, fat, gpt, libconfig, selector
from ovenbird_device.format.selector import Slot
from ovenbird_device.update.signature import SignatureError

Target = Callable[[bytes], None]


def read_bundle(raw: bytes) -> None:
    """A whole bundle. A fuzzer finds no real signature: here, one that begins with "s" holds."""

    def verify(signed: bytes, signature: bytes) -> None:
        if not signature.startswith(b"s"):
            raise SignatureError("refused")

    opened = bundle.open_bundle(io.BytesIO(raw), verify)
    assert opened.signature.startswith(b"s"), "nothing unsigned is opened"
    for artefact in opened.artefacts(opened.description.for_slot(Slot.A).images):
        content = b"".join(artefact.stored())
        assert hashlib.sha256(content).hexdigest() == artefact.image.sha256


def unpack_image(raw: bytes) -> None:
    """An image's compressed bytes, with the digest that they have: broken packing ends in an error, within limits."""
    out = io.BytesIO()
    with cpio.Writer(out) as writer:
        writer.file("x", raw)
    out.seek(0)
    member = next(cpio.read(out))
    image = description.Image("x", "", hashlib.sha256(raw).hexdigest(), "zlib")
    assert sum(map(len, bundle.Artefact(image, member).unpacked(1 << 20))) <= 1 << 20


def read_cpio(raw: bytes) -> None:
    """An archive of any kind; members stay inside of their folder and have the size that they say."""
    for member in cpio.read(io.BytesIO(raw)):
        assert not member.entry.name.startswith("/")
        assert ".." not in member.entry.name.split("/")
        assert len(member.all(1 << 20)) == member.entry.size


def read_description(raw: bytes) -> None:
    """A description in either language; a selection for a slot names that slot's partitions and nothing else."""
    described = description.load(raw)
    described.fits(["vm"])
    for slot in Slot:
        selection = described.for_slot(slot)
        assert {image.target for image in selection.images} == {("boot", slot), ("root", slot)}


def read_libconfig(raw: bytes) -> None:
    """libconfig's text."""
    libconfig.load(raw.decode("utf-8", "replace"))


def read_selector(raw: bytes) -> None:
    """The two copies of the environment block: always a state, and one that can be written and read again."""
    copies = raw[:1024].ljust(1024, b"#"), raw[1024:2048].ljust(1024, b"#")
    state = selector.decode(copies).state
    assert selector.decode_one(selector.encode(state)) == state
    after, choice = state.boot()
    assert choice.target in tuple(selector.Target)
    assert selector.decode_one(selector.encode(after)) == after


def read_table(raw: bytes) -> None:
    """A partition table; partitions lie on the disk and do not overlap."""
    sectors = 1 << 16
    table = gpt.read(lambda offset, size: raw[offset : offset + size].ljust(size, b"\0"), sectors).table
    gpt.check(table)


def read_fat(raw: bytes) -> None:
    """A FAT volume: its files are found and read without reaching beyond it."""
    volume = fat.Volume(lambda offset, size: raw[offset : offset + size])
    for number, file in enumerate(volume.files()):
        if number > 100:
            break
        if not file.is_folder and file.size < 1 << 20:
            volume.read(file)


TARGETS: Mapping[str, Target] = {
    "bundle": read_bundle,
    "unpack": unpack_image,
    "cpio": read_cpio,
    "description": read_description,
    "libconfig": read_libconfig,
    "selector": read_selector,
    "table": read_table,
    "fat": read_fat,
}


def harmless(target: Target, raw: bytes) -> None:
    """Run a target; a FormatError is what it may answer."""
    try:
        target(raw)
    except FormatError:
        return
