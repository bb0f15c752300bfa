"""A bundle (`.swu`) as it arrives: read once from front to end, in constant memory, with no trust in any byte.

The order of things is the safety of it: the description is looked at only after `verify` has taken it and its
signature; an image's bytes are handed on as they come, but reading ends with an error unless their sha256 is the
signed one, so whoever writes them must not use them before the end; or the reader compares what it wrote with
`Image.written_sha256` itself (`judged=False`). What the description does not name is skipped.

    bundle = open_bundle(stream, verify)
    for artefact in bundle.artefacts(bundle.description.for_slot(Slot.B).images):
        for piece in artefact.unpacked(limit=size_of_the_partition): ...

Format: SWUpdate, "The swupdate image format": a cpio archive with `sw-description` first and its signature next.
"""

from __future__ import annotations

import hashlib
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from ovenbird_device.format import FormatError, cpio, description
from ovenbird_device.format.description import Description, Image

DESCRIPTION: Final = "sw-description"
SIGNATURE: Final = "sw-description.sig"
LARGEST_SIGNATURE: Final = 1 << 16
MOST_MEMBERS: Final = 64
PIECE: Final = 1 << 18
"""Bytes of the largest piece that `unpacked` gives."""
_GZIP: Final = 16 + zlib.MAX_WBITS

Verify = Callable[[bytes, bytes], object]
"""Takes the description's bytes and the signature's; raises if the signature does not make them trusted."""


class DigestError(FormatError):
    """An image's bytes are not the signed ones."""


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose description is trusted. `signed` are its exact bytes, `digest` their SHA-256: they name it."""

    description: Description
    signed: bytes
    signature: bytes
    digest: str
    _members: Iterator[cpio.Member]

    def artefacts(self, images: Sequence[Image]) -> Iterator[Artefact]:
        """These images in the order in which they arrive, once; read one (to its end) before asking for the next.

        FormatError if the archive is broken, names one twice, or ends without one of them; DigestError if one that is
        left unread is not the signed one.
        """
        wanted = {image.filename: image for image in images}
        if len(wanted) != len(images):
            raise FormatError("two images share one file")
        seen = {DESCRIPTION, SIGNATURE}
        for member in self._members:
            name = member.entry.name
            if name in seen:
                raise FormatError(f"the bundle has {name!r} twice")
            seen.add(name)
            if len(seen) > MOST_MEMBERS:
                raise FormatError(f"the bundle has more than {MOST_MEMBERS} files")
            image = wanted.get(name)
            if image is None:
                continue
            _check_regular(member)
            artefact = Artefact(image, member)
            yield artefact
            artefact.finish()
        if missing := sorted(wanted.keys() - seen):
            raise FormatError(f"the bundle lacks {missing[0]!r}, which its description names")


def open_bundle(source: cpio.Readable, verify: Verify) -> Bundle:
    """Read the description and its signature, let `verify` judge them, and only then look inside.

    Raises FormatError for a broken bundle and whatever `verify` raises.
    """
    members = cpio.read(source, flat=True)
    signed = _first(members, DESCRIPTION, description.LARGEST)
    signature = _first(members, SIGNATURE, LARGEST_SIGNATURE)
    verify(signed, signature)
    return Bundle(description.load(signed), signed, signature, hashlib.sha256(signed).hexdigest(), members)


def _first(members: Iterator[cpio.Member], name: str, limit: int) -> bytes:
    member = next(members, None)
    if member is None or member.entry.name != name:
        found = f"it has {member.entry.name!r} instead" if member else "it ends before"
        raise FormatError(f"a bundle must begin with {DESCRIPTION} and {SIGNATURE}; {found}")
    _check_regular(member)
    return member.all(limit)


def _check_regular(member: cpio.Member) -> None:
    if not stat.S_ISREG(member.entry.mode):
        raise FormatError(f"{member.entry.name!r} is not a regular file")


class Artefact:
    """One image of a bundle that is being read."""

    def __init__(self, image: Image, member: cpio.Member) -> None:
        self.image = image
        self.size = member.entry.size
        """Bytes as stored in the bundle."""
        self._member = member
        self._digest = hashlib.sha256()
        self._judged = True
        """Whether the digest is still to be made and compared."""

    def stored(self) -> Iterator[bytes]:
        """The bytes as they are in the bundle. DigestError at the end if they are not the signed ones."""
        while piece := self._member.read(PIECE):
            if self._judged:
                self._digest.update(piece)
            yield piece
        self._judge()

    def unpacked(self, limit: int, *, judged: bool = True) -> Iterator[bytes]:
        """The bytes to write, never more than `limit` of them. FormatError if there are more, if the packing is
        broken, or (as DigestError, at the end) if they are not the signed ones.

        With `judged=False` no digest is made here, for whoever reads back what was written and compares that with
        `image.written_sha256` before it is used: on a small machine a digest takes longer than all the rest.
        """
        image = self.image
        self._judged = judged
        # What is stored as it is has one digest, which `stored` makes and judges.
        digest = hashlib.sha256() if judged and image.compressed else None
        size = 0
        for piece in self._pieces():
            size += len(piece)
            if size > limit:
                raise FormatError(f"{image.filename!r} does not fit: it has more than {limit} bytes")
            if digest is not None:
                digest.update(piece)
            yield piece
        if image.size not in (None, size):
            raise DigestError(f"{image.filename!r} has {size} bytes, but {image.size} are signed")
        if digest is not None and image.unpacked_sha256 not in (None, digest.hexdigest()):
            raise DigestError(f"{image.filename!r} is not what was signed")

    def finish(self) -> None:
        """Read what is left, so that its digest is judged too."""
        for _ in self.stored():
            pass

    def _pieces(self) -> Iterator[bytes]:
        match self.image.compressed:
            case "":
                return self.stored()
            case "zlib":
                return self._inflated()
            case other:
                raise FormatError(f"{self.image.filename!r} is compressed in an unknown way: {other}")

    def _inflated(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            for piece in self.stored():
                data = piece
                while data and not unpacker.eof:
                    if unpacked := unpacker.decompress(data, PIECE):
                        yield unpacked
                    data = unpacker.unconsumed_tail
                if unpacker.unused_data or (data and unpacker.eof):
                    raise FormatError(f"{self.image.filename!r} has something behind its end")
        except zlib.error as error:
            raise FormatError(f"{self.image.filename!r} cannot be unpacked: {error}") from error
        if not unpacker.eof:
            raise FormatError(f"{self.image.filename!r} is cut off")

    def _judge(self) -> None:
        if self._judged and self._digest.hexdigest() != self.image.sha256:
            raise DigestError(f"{self.image.filename!r} is not what was signed")
        self._judged = False
