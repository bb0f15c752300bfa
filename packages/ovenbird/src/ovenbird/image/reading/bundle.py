"""Look into a bundle on the workstation: what it says of itself, and whether a device would take it.

`inspect` believes nothing and says so; `verify` is the device's own way through a bundle, without the writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7
from msgspec.structs import replace

from ovenbird.errors import HostError, ImageError
from ovenbird.keys.certificates import common_name, fingerprint
from ovenbird_device.format import FormatError, bundle, cpio
from ovenbird_device.format.description import COMPRESSIONS, Description, Image
from ovenbird_device.update import signature as signatures

MOST = 1 << 40
"""Bytes that one image may unpack to here; a device takes its partition's size."""


class Signer(msgspec.Struct, frozen=True):
    """A certificate: what it is called, and its SHA-256 in hexadecimal."""

    name: str
    fingerprint: str


class Member(msgspec.Struct, frozen=True):
    """A file of the archive and its size in bytes."""

    name: str
    size: int


class Target(msgspec.Struct, frozen=True):
    """An image of a selection: which file goes where."""

    filename: str
    device: str
    compressed: str
    sha256: str
    size: int | None


class Choice(msgspec.Struct, frozen=True):
    """One selection, by the name that `swupdate -e` takes. `refused` says what a device would not do."""

    name: str
    images: tuple[Target, ...]
    refused: tuple[str, ...]


class BundleInfo(msgspec.Struct, frozen=True):
    """What a bundle says of itself; nothing of it has been verified. `digest` is the SHA-256 of its description."""

    path: str
    size: int
    name: str
    version: str
    description: str
    board: str
    compatible: tuple[str, ...]
    digest: str
    claims: tuple[Signer, ...]
    """The certificates that the signature carries."""
    members: tuple[Member, ...]
    selections: tuple[Choice, ...]


class Verdict(msgspec.Struct, frozen=True):
    """A bundle that devices with the given certificates would take: who signed it, and the bytes judged."""

    path: str
    name: str
    version: str
    compatible: tuple[str, ...]
    digest: str
    signer: Signer
    images: tuple[Member, ...]


def inspect_bundle(file: Path) -> BundleInfo:
    """What is in a bundle. ImageError if it is none."""
    try:
        with file.open("rb") as stream:
            opened = bundle.open_bundle(stream, lambda signed, signature: None)
        with file.open("rb") as stream:
            members = tuple(Member(one.entry.name, one.entry.size) for one in cpio.read(stream, flat=True))
    except FormatError as error:
        raise ImageError(f"this is no sound bundle: {error}", where=str(file)) from error
    described = opened.description
    return BundleInfo(
        path=str(file),
        size=file.stat().st_size,
        name=described.name,
        version=described.version,
        description=described.description,
        board=described.board,
        compatible=described.compatible,
        digest=opened.digest,
        claims=tuple(_claims(opened.signature)),
        members=members,
        selections=tuple(_choices(described)),
    )


def verify_bundle(file: Path, certificates: Sequence[str]) -> Verdict:
    """Judge the signature (against PEM texts) and every image. ImageError says why a device would not take it."""
    found: list[str] = []

    def verify(signed: bytes, signature: bytes) -> None:
        found.append(signatures.verify(signed, signature, certificates).certificate)

    try:
        with file.open("rb") as stream:
            opened = bundle.open_bundle(stream, verify)
            judged = tuple(_judge(artefact) for artefact in opened.artefacts(_images(opened.description)))
    except FormatError as error:
        raise ImageError(str(error), where=str(file)) from error
    except signatures.VerifierError as error:
        raise HostError(str(error), hint="sudo apt-get install openssl") from error
    signer = x509.load_pem_x509_certificate(found[0].encode())
    described = opened.description
    return Verdict(
        path=str(file),
        name=described.name,
        version=described.version,
        compatible=described.compatible,
        digest=opened.digest,
        signer=Signer(common_name(signer), fingerprint(signer)),
        images=judged,
    )


def _images(description: Description) -> list[Image]:
    """Every image once; where selections disagree about a file, it is there twice, which reading then refuses."""
    images = (image for selection in description.selections for image in selection.images)
    return list(dict.fromkeys(replace(image, device="") for image in images))


def _judge(artefact: bundle.Artefact) -> Member:
    known = artefact.image.compressed in COMPRESSIONS
    for _ in artefact.unpacked(MOST) if known else artefact.stored():
        pass
    return Member(artefact.image.filename, artefact.size)


def _claims(signature: bytes) -> Iterator[Signer]:
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(signature)
    except (ValueError, UnsupportedAlgorithm):
        return
    for certificate in certificates:
        yield Signer(common_name(certificate), fingerprint(certificate))


def _choices(description: Description) -> Iterator[Choice]:
    for selection in description.selections:
        targets = tuple(
            Target(image.filename, image.device, image.compressed, image.sha256, image.size)
            for image in selection.images
        )
        yield Choice(selection.name, targets, selection.beyond)
