"""A bundle's way into the other slot, in the one order that a power cut at any byte cannot hurt.

    1  who signed it, is it for this machine, is its version welcome, does it fit       nothing is written
    2  the selector forgets the other slot (both copies, flushed)                       it is no fallback any more
    3  the first block of its two partitions is blanked, flushed                        it does not look like a system
    4  the images are written as they arrive, all but their first blocks, flushed
    5  the bundle has ended
    6  what was written is read back from the medium, and its digest is the signed one  nothing unsigned gets further
    7  the first blocks: of root, then of boot, each flushed and read back              now it is a system
    8  the trial is armed: the first copy, flushed, then the second                     now the next boot tries it

The active slot is never opened for writing. An error in 1 leaves everything as it was; later ones leave the other slot
empty and the selector knowing it. Memory is constant: some pieces of a MiB, whatever the bundle's size.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import msgspec

from ..format import FormatError, bundle, cpio
from ..format.description import Image
from ..format.selector import TRIES, Slot
from ..slots.disk import Place, SlotsError
from ..slots.files import now
from ..slots.manage import Content, Slots
from . import record
from .blocks import ALIGNED, CHUNK, Ahead, Blocks, read_ahead
from .policy import Wishes, check
from .signature import SignatureError, VerifierError, verifier
from .snapshot import Reason, UpdateError

HEAD = ALIGNED
"""Bytes at the start of a partition without which it is neither a FAT nor a squashfs; written last."""
_EVERY = 0.2
"""Seconds between two reports of progress."""


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="event"):
    """How far it is: `done` of `total` bytes (0: not known) of what `phase` does."""

    phase: Literal["write", "verify"]
    part: str
    done: int
    total: int


class Accepted(msgspec.Struct, frozen=True, tag="accepted", tag_field="event"):
    """The bundle is trusted and welcome; writing begins."""

    slot: str
    version: str
    before: str
    signer: str


class Armed(msgspec.Struct, frozen=True, tag="armed", tag_field="event"):
    """All is written, verified and armed: the next boot tries the slot."""

    slot: str
    version: str
    tries: int


Event = Progress | Accepted | Armed
Emit = Callable[[Event], None]


class Terms(msgspec.Struct, frozen=True):
    """What this device takes: PEM texts of certificates, its revisions, and how many boots a trial gets."""

    certificates: Sequence[str]
    compatible: Sequence[str]
    tries: int = TRIES


class Installed(msgspec.Struct, frozen=True):
    """A trial is armed."""

    slot: Slot
    version: str
    bundle: str


class _Part(msgspec.Struct):
    """One partition of the slot while it is filled."""

    name: str
    blocks: Blocks
    image: Image
    head: bytes = b""
    size: int = 0
    digest: str = ""
    sum: int = 0
    """CRC-32 of what was to be written: it tells a damaged bundle from a bad medium."""


class Installer(msgspec.Struct):
    """Installs one bundle. `chunk` is how many bytes are written and read back at a time."""

    slots: Slots
    terms: Terms
    emit: Emit
    chunk: int = CHUNK
    _touched: bool = False
    _told: float = 0.0

    def install(self, source: cpio.Readable, wishes: Wishes) -> Installed:
        """Read a bundle from `source` to its end, fill the other slot and arm its trial. Raises UpdateError."""
        try:
            return self._install(source, wishes)
        except UpdateError as error:
            error.touched = self._touched
            raise
        except SignatureError as error:
            raise self._refused(Reason.SIGNATURE, f"The bundle is refused: {error}.", error) from error
        except bundle.DigestError as error:
            raise self._refused(Reason.DIGEST, f"The bundle was damaged on its way: {error}.", error) from error
        except FormatError as error:
            raise self._refused(Reason.BUNDLE, f"The bundle cannot be used: {error}.", error) from error
        except VerifierError as error:
            raise self._refused(Reason.INTERNAL, f"The signature could not be judged: {error}.", error) from error
        except SlotsError as error:
            raise self._refused(Reason.SLOTS, f"The slots are not ready for an update: {error}.", error) from error

    def _refused(self, reason: Reason, message: str, cause: Exception) -> UpdateError:
        error = UpdateError(reason, message)
        error.touched = self._touched
        error.__cause__ = cause
        return error

    def _install(self, source: cpio.Readable, wishes: Wishes) -> Installed:
        signers: list[str] = []
        judge = verifier(self.terms.certificates)
        opened = bundle.open_bundle(
            source, lambda signed, signature: signers.append(judge(signed, signature).fingerprint)
        )
        about = opened.description
        slot = self.slots.target()
        image = self.slots.image()
        before = image.version if image else ""
        check(
            about,
            opened.digest,
            wishes,
            compatible=self.terms.compatible,
            running=before,
            failed=given_up(self.slots),
        )
        images = about.for_slot(slot).images
        places = {part: self.slots.disk.place(f"{part}-{slot}") for part in ("boot", "root")}
        for one in images:
            _fits(one, one.size, places)
        self.emit(Accepted(slot, about.version, before, signers[0]))
        with ExitStack() as stack:
            parts: list[_Part] = []
            for one in images:
                name = _target(one)
                with _medium(f"slot {slot}'s {name} partition was opened"):
                    blocks = stack.enter_context(places[name].open(writable=True, alone=True))
                parts.append(_Part(name, blocks, one))
            parts.sort(key=lambda part: part.name, reverse=True)  # root before boot, wherever the order matters
            self._write(slot, parts, opened.artefacts(images), places)
            content = self._verify(slot, parts)
            self._complete(slot, parts)
        self.slots.remember(
            slot, Content(self.slots.boot_line(slot)[1] or content, about.version, about.name, opened.digest, now())
        )
        self.slots.arm(slot, self.terms.tries)
        self.emit(Armed(slot, about.version, self.terms.tries))
        return Installed(slot, about.version, opened.digest)

    def _write(
        self, slot: Slot, parts: list[_Part], artefacts: Iterator[bundle.Artefact], places: dict[str, Place]
    ) -> None:
        total = sum(part.image.size or 0 for part in parts) if all(part.image.size for part in parts) else 0
        done = 0
        for artefact in artefacts:
            part = next(one for one in parts if one.image is artefact.image)
            if not part.image.compressed:
                _fits(part.image, artefact.size, places)
            if not self._touched:
                self._forget(slot, parts)
            # A digest is what takes longest here. One is made of what is read back, so none of what comes, unless
            # only the packed bytes are signed.
            signed = part.image.written_sha256
            digest = hashlib.sha256()
            pieces = artefact.unpacked(part.blocks.size, judged=signed is None)
            with _medium(f"slot {slot}'s {part.name} was written"), Ahead(part.blocks, HEAD, chunk=self.chunk) as ahead:
                for piece in pieces:
                    if signed is None:
                        digest.update(piece)
                    part.sum = zlib.crc32(piece, part.sum)
                    part.size += len(piece)
                    rest = piece
                    if len(part.head) < HEAD:
                        taken = HEAD - len(part.head)
                        part.head, rest = part.head + piece[:taken], piece[taken:]
                    if rest:
                        ahead.write(rest)
                    self._report("write", part.name, done + part.size, total)
            done += part.size
            part.digest = signed or digest.hexdigest()
        for part in parts:
            with _medium(f"slot {slot}'s {part.name} was written"):
                part.blocks.flush()

    def _forget(self, slot: Slot, parts: list[_Part]) -> None:
        """From here on the slot is nothing: neither the selector nor GRUB's look at it takes it for a system."""
        given_up(self.slots, keep=True)
        self.slots.prepare(slot)
        self._touched = True
        for part in reversed(parts):
            with _medium(f"slot {slot}'s {part.name} was blanked"):
                part.blocks.write_at(0, bytes(HEAD))
                part.blocks.flush()

    def _verify(self, slot: Slot, parts: list[_Part]) -> str:
        """Read back all but the heads, which are still in memory. Returns the root's digest, as `ovenbird.hash`."""
        total = sum(part.size for part in parts)
        done = 0
        for part in parts:
            digest = hashlib.sha256(part.head)
            place = HEAD
            with _medium(f"slot {slot}'s {part.name} was read back"):
                for data in read_ahead(part.blocks, HEAD, part.size, chunk=self.chunk):
                    digest.update(data)
                    place += len(data)
                    self._report("verify", part.name, done + place, total)
            done += part.size
            if digest.hexdigest() != part.digest:
                raise self._mistaken(slot, part)
        return "sha256:" + next(part.digest for part in parts if part.name == "root")

    def _mistaken(self, slot: Slot, part: _Part) -> Exception:
        """What was read back is not what was signed: because something else was written, or because the medium lies."""
        kept = zlib.crc32(part.head)
        with _medium(f"slot {slot}'s {part.name} was read back"):
            for data in read_ahead(part.blocks, HEAD, part.size, chunk=self.chunk):
                kept = zlib.crc32(data, kept)
        if kept != part.sum:
            return _forgetful(slot, part)
        return bundle.DigestError(f"{part.image.filename!r} is not what was signed")

    def _complete(self, slot: Slot, parts: list[_Part]) -> None:
        for part in parts:
            head = part.head + bytes(-len(part.head) % ALIGNED)
            with _medium(f"slot {slot}'s {part.name} was completed"):
                part.blocks.write_at(0, head)
                part.blocks.flush()
                kept = part.blocks.read_at(0, len(head))
            if kept != head:
                raise _forgetful(slot, part)

    def _report(self, phase: Literal["write", "verify"], part: str, done: int, total: int) -> None:
        moment = time.monotonic()
        if moment - self._told >= _EVERY or done == total:
            self._told = moment
            self.emit(Progress(phase, part, done, total))


def given_up(slots: Slots, *, keep: bool = False) -> set[str]:
    """The digests of the bundles that failed here: those noted, and what the selector's failed slots hold.

    A trial that never reached a running system left no other trace than the selector's flag. With `keep`, it is noted
    now, before the slot is overwritten.
    """
    state, known = slots.state(), slots.contents()
    flagged = {known[slot].bundle for slot in state.failed if slot in known and known[slot].bundle}
    if keep:
        for digest in sorted(flagged):
            record.note_failed(slots.folder, digest)
    return flagged | set(record.failed(slots.folder))


def _forgetful(slot: Slot, part: _Part) -> UpdateError:
    return UpdateError(Reason.DISK, f"The disk does not keep what is written to slot {slot}'s {part.name}.")


def _target(image: Image) -> str:
    if image.target is None:
        raise FormatError(f"{image.filename!r} does not belong into a slot")
    return image.target[0]


def _fits(image: Image, size: int | None, places: dict[str, Place]) -> None:
    part = _target(image)
    if size is not None and size > places[part].size:
        raise UpdateError(
            Reason.TOO_LARGE,
            f"The image {image.filename} ({size} bytes) does not fit into {part} ({places[part].size} bytes).",
        )


@contextmanager
def _medium(what: str) -> Generator[None]:
    """OSErrors in here are the medium's."""
    try:
        yield
    except OSError as error:
        raise UpdateError(Reason.DISK, f"The disk failed while {what}: {error.strerror or error}.") from error
