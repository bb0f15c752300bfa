"""Certificates as recipes name them: PEM files, each with one certificate or more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ovenbird.errors import RecipeError
from ovenbird.keys.cms import check_usable


def read_certificates(files: Iterable[Path]) -> tuple[x509.Certificate, ...]:
    """All certificates of these files, in order. RecipeError for a file without one, or with one of no use."""
    found: list[x509.Certificate] = []
    for file in files:
        try:
            some = x509.load_pem_x509_certificates(file.read_bytes())
        except ValueError as error:
            raise RecipeError(
                "this is not a certificate in PEM form",
                where=str(file),
                hint="`ovenbird keys show NAME --pem` prints one",
            ) from error
        for certificate in some:
            check_usable(certificate, str(file))
        found += some
    return tuple(found)


def pem(certificate: x509.Certificate) -> str:
    """The PEM text."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of the certificate, in hexadecimal."""
    return certificate.fingerprint(SHA256()).hex()


def common_name(certificate: x509.Certificate) -> str:
    """What the certificate is called."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def issued_by(certificate: x509.Certificate, issuers: Iterable[x509.Certificate]) -> bool:
    """Whether one of these issued the certificate."""
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
