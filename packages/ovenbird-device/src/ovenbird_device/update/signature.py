"""Who signed a bundle: a detached CMS signature, judged by the `openssl` program against the device's own list.

A signer is accepted if its certificate is in the list or was issued directly by one that is. Certificates that the
signature brings along never extend that list, and nothing of the system's trust store counts. Times are not looked at:
a device without a clock starts in 1970, and an expired certificate must not lock it out; a key is withdrawn by taking
its certificate out of the image (docs/updates.md).

The program rather than a library, because every system that verifies downloads has it, and it is the same code that the
real `swupdate` trusts. Format: RFC 5652; what `swupdate` makes of it: its "Update images from verified source".
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

import msgspec

from ovenbird_device.format import FormatError
from ovenbird_device.openssl import OpensslError, in_memory, openssl, path_of

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class SignatureError(FormatError):
    """The bundle is not signed by anyone whom this device trusts, or not as it stands."""


class VerifierError(Exception):
    """The signature could not be judged at all: the program is missing or does not work."""


class Signer(msgspec.Struct, frozen=True):
    """Who signed: the SHA-256 of the certificate (DER), in hexadecimal, and its PEM text."""

    fingerprint: str
    certificate: str


def split_certificates(pem: str) -> list[str]:
    """Each certificate of a PEM text by itself."""
    return [f"{found}\n" for found in _CERTIFICATE.findall(pem)]


def verifier(certificates: Sequence[str]) -> Callable[[bytes, bytes], Signer]:
    """`verify` with its list of certificates, as `format.bundle.open_bundle` wants it."""
    return lambda signed, signature: verify(signed, signature, certificates)


def verify(signed: bytes, signature: bytes, certificates: Sequence[str]) -> Signer:
    """Who of the list (PEM texts) signed these bytes. SignatureError if nobody did; VerifierError without openssl."""
    trusted = [one for text in certificates for one in split_certificates(text)]
    if not trusted:
        raise SignatureError("this device accepts no bundles: its image names no certificates")
    with ExitStack() as stack:
        content = stack.enter_context(in_memory("content", signed))
        cms = stack.enter_context(in_memory("signature", signature))
        anchors = stack.enter_context(in_memory("certificates", "".join(trusted).encode()))
        signer = stack.enter_context(in_memory("signer", b""))
        try:
            done = openssl(
                "cms", "-verify", "-binary", "-inform", "DER", "-in", path_of(cms),
                "-content", path_of(content), "-CAfile", path_of(anchors),
                "-no-CApath", "-no-CAstore", "-partial_chain", "-verify_depth", "0", "-no_check_time",
                "-purpose", "smimesign", "-signer", path_of(signer),
                files=(content, cms, anchors, signer),
            )  # fmt: skip
        except OpensslError as error:
            raise VerifierError(str(error)) from error
        # What the program hands out is what it verified: compare, rather than trust in how it was asked.
        if done.returncode or done.stdout != signed:
            raise SignatureError(_reason(done.stderr.decode("utf-8", "replace")))
        found = split_certificates(os.pread(signer, 1 << 20, 0).decode("ascii", "replace"))
    if len(found) != 1:
        raise SignatureError("a bundle must have exactly one signer")
    return Signer(fingerprint(found[0]), found[0])


def fingerprint(certificate: str) -> str:
    """The SHA-256 of a certificate (PEM), in hexadecimal. FormatError if it is none."""
    import ssl

    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError as error:
        raise FormatError(f"not a certificate: {error}") from error


def _reason(said: str) -> str:
    """OpenSSL's errors (their texts are of crypto/cms/cms_err.c) in words for people."""
    if details := re.findall(r"Verify error: *([^:\n]+)", said):
        detail = details[-1].strip()
        plain = "self-signed" in detail or "issuer certificate" in detail
        return "the bundle is signed by a stranger" + ("" if plain else f" ({detail})")
    if "signer certificate not found" in said or "no signers" in said:
        return "the bundle's signature names no signer"
    if "content verify error" in said or "verification failure" in said:
        return "the bundle's description is not what was signed"
    return "the bundle's signature cannot be read"
