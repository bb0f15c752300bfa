"""Reading a bundle: in order, in constant memory, and nothing but what was signed."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, bundle, cpio
from ovenbird_device.format.bundle import DigestError, open_bundle
from ovenbird_device.format.description import Image
from ovenbird_device.format.selector import Slot
from ovenbird_device.update.signature import SignatureError, verifier

from .conftest import Make, Owner, install

Entries = list[tuple[str, bytes]]


def believe(signed: bytes, signature: bytes) -> None:
    """For tests of what comes after the signature."""


def entries(raw: bytes) -> Entries:
    return [(one.entry.name, one.all(1 << 30)) for one in cpio.read(io.BytesIO(raw))]


def archive(members: Entries) -> bytes:
    out = io.BytesIO()
    with cpio.Writer(out) as writer:
        for name, content in members:
            writer.file(name, content)
    return out.getvalue()


def test_a_good_bundle_fills_either_slot(good: bytes, trusting: bundle.Verify, images: dict[str, bytes]) -> None:
    assert install(good, trusting, Slot.A) == images
    assert install(good, trusting, Slot.B) == images


def test_it_names_itself_by_its_signed_bytes(good: bytes, trusting: bundle.Verify) -> None:
    opened = open_bundle(io.BytesIO(good), trusting)
    assert opened.signed == entries(good)[0][1]
    assert opened.digest == hashlib.sha256(opened.signed).hexdigest()


def test_a_stranger_is_refused_before_anything_is_read(good: bytes, stranger: Owner, us: Owner) -> None:
    stream = io.BytesIO(good)
    with pytest.raises(SignatureError, match="stranger"):
        open_bundle(stream, verifier([stranger.pem]))
    after_signature = good.index(b"boot.vfat.gz", good.index(b"sw-description.sig")) - cpio.HEADER
    assert stream.tell() <= after_signature


CHANGES: list[tuple[Callable[[Entries], Entries], str]] = [
    (lambda all_: all_[1:], "must begin with sw-description"),
    (lambda all_: [all_[1], all_[0], *all_[2:]], "must begin with"),
    (lambda all_: [all_[0], *all_[2:]], "must begin with"),
    (lambda all_: [all_[0], all_[2], all_[1], all_[3]], "must begin with"),
    (lambda all_: all_[:1], "it ends before"),
    (lambda all_: all_[:3], "lacks 'root.squashfs'"),
    (lambda all_: [*all_, all_[2]], "has 'boot.vfat.gz' twice"),
    (lambda all_: [*all_, all_[0]], "has 'sw-description' twice"),
    (lambda all_: [*all_, *((f"x{n}", b"") for n in range(70))], "more than 64 files"),
    (lambda all_: [("sw-description", bytes((1 << 20) + 1)), *all_[1:]], "at most 1048576"),
    (lambda all_: [all_[0], ("sw-description.sig", bytes(1 << 17)), *all_[2:]], "at most 65536"),
    (lambda all_: [*all_[:2], ("../x", b""), *all_[2:]], "folder in its name"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_what_is_not_in_its_place_is_refused(good: bytes, change: Callable[[Entries], Entries], said: str) -> None:
    with pytest.raises(FormatError, match=said):
        install(archive(change(entries(good))), believe)


def test_any_order_of_the_images_and_unknown_members_are_fine(good: bytes, images: dict[str, bytes]) -> None:
    described, signature, boot, root = entries(good)
    assert install(archive([described, signature, ("other", b"x"), root, ("more", b""), boot]), believe) == images


def test_links_and_folders_are_no_images(good: bytes) -> None:
    out = io.BytesIO()
    with cpio.Writer(out) as writer:
        for name, content in entries(good)[:2]:
            writer.file(name, content)
        writer.link("boot.vfat.gz", "/etc/shadow")
    with pytest.raises(FormatError, match="not a regular file"):
        install(out.getvalue(), believe)


def test_bytes_that_were_not_signed_end_in_an_error(good: bytes) -> None:
    described, signature, boot, root = entries(good)
    other = ("root.squashfs", root[1][:-1] + b"!")
    with pytest.raises(DigestError, match=r"'root\.squashfs' is not what was signed"):
        install(archive([described, signature, boot, other]), believe)


def test_an_image_that_nobody_read_is_judged_all_the_same(good: bytes) -> None:
    described, signature, boot, root = entries(good)
    raw = archive([described, signature, boot, ("root.squashfs", root[1][:-1] + b"!")])
    opened = open_bundle(io.BytesIO(raw), believe)
    with pytest.raises(DigestError):
        list(opened.artefacts(opened.description.for_slot(Slot.A).images))


def test_an_image_larger_than_its_partition_is_refused(good: bytes) -> None:
    opened = open_bundle(io.BytesIO(good), believe)
    artefact = next(opened.artefacts(opened.description.for_slot(Slot.A).images))
    with pytest.raises(FormatError, match="does not fit: it has more than 100 bytes"):
        list(artefact.unpacked(100))


def packed(content: bytes) -> bundle.Artefact:
    """An artefact whose stored bytes are these, signed as they are."""
    member = next(cpio.read(io.BytesIO(archive([("x", content)]))))
    return bundle.Artefact(Image("x", "", hashlib.sha256(content).hexdigest(), "zlib"), member)


def test_a_bomb_stays_small_in_memory() -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    artefact = packed(bomb)
    largest: list[int] = []
    tracemalloc.start()
    with pytest.raises(FormatError, match="does not fit"):
        largest.extend(len(piece) for piece in artefact.unpacked(32 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    assert max(largest, default=0) <= bundle.PIECE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"x", mtime=0)[:-1], "cut off"),
        (b"", "cut off"),
        (gzip.compress(b"x", mtime=0) + b"y", "something behind its end"),
        (gzip.compress(b"x", mtime=0) * 2, "something behind its end"),
        (b"not packed", "cannot be unpacked"),
    ],
    ids=["cut", "empty", "more", "twice", "other"],
)
def test_broken_packing_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        list(packed(content).unpacked(1 << 20))


def test_the_unpacked_size_and_digest_count_too() -> None:
    artefact = packed(gzip.compress(b"four"))
    artefact.image = msgspec.structs.replace(artefact.image, size=5)
    with pytest.raises(DigestError, match="4 bytes, but 5 are signed"):
        list(artefact.unpacked(10))
    artefact = packed(gzip.compress(b"four"))
    artefact.image = msgspec.structs.replace(artefact.image, unpacked_sha256="0" * 64)
    with pytest.raises(DigestError, match="not what was signed"):
        list(artefact.unpacked(10))


class Slow:
    """A stream that gives what it likes: one byte now and then, as a network does."""

    def __init__(self, raw: bytes, seed: int) -> None:
        self.raw = io.BytesIO(raw)
        self.random = random.Random(seed)

    def read(self, size: int, /) -> bytes:
        return self.raw.read(min(size, self.random.choice([1, 2, 7, 4096])))


@settings(max_examples=20)
@given(seed=st.integers())
def test_pieces_of_any_size_arrive_as_one(seed: int, good: bytes, images: dict[str, bytes]) -> None:
    opened = open_bundle(Slow(good, seed), believe)
    found = [b"".join(one.unpacked(1 << 20)) for one in opened.artefacts(opened.description.for_slot(Slot.A).images)]
    assert found == [images["boot"], images["root"]]


def test_every_cut_is_noticed(good: bytes) -> None:
    end = good.index(cpio.TRAILER.encode()) + len(cpio.TRAILER)
    for length in range(0, end, 3):
        with pytest.raises(FormatError):
            install(good[:length], believe)


def test_every_other_byte_anywhere_is_refused_or_does_not_matter(
    good: bytes, us: Owner, images: dict[str, bytes], trusting: bundle.Verify
) -> None:
    """Each position in turn: refused, or what would be written is to the byte what was signed.

    What does not matter are times, owners and padding of the archive. The signature is judged for real, once for each
    pair of bytes; `tests/interop` changes each byte of those as well.
    """
    described, signature = (content for _, content in entries(good)[:2])
    refused = 0

    def known(signed: bytes, sig: bytes) -> None:
        if (signed, sig) != (described, signature):
            raise SignatureError("changed")

    trusting(described, signature)
    end = good.index(cpio.TRAILER.encode()) + len(cpio.TRAILER)
    for position in range(end):
        changed = bytearray(good)
        changed[position] ^= 1 << (position % 8)
        try:
            assert install(bytes(changed), known) == images
        except FormatError:
            refused += 1
    assert refused > end * 0.8


def test_two_makes_give_the_same_bytes(good: bytes, make: Make) -> None:
    assert make() == good
