"""A detached CMS signature around a raw one, the same bytes each time.

Written here rather than by a library, because those want the private key itself, while a key in an agent, a token or
somebody else's service only gives raw signatures. There are no signed attributes, hence no signing time: an RSA
signature over the same description is the same again, and the raw signature is simply that of the description.
That a signed description could be taken for somebody's signed attributes, or the other way round, is ruled out by their
first bytes: `{` or a letter here, the DER tag of a set there.

Format: RFC 5652 (SignedData), DER as in ITU-T X.690.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ovenbird.errors import OvenbirdError

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
SHA256 = "2.16.840.1.101.3.4.2.1"
RSA = "1.2.840.113549.1.1.1"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_SEQUENCE, _SET, _INTEGER, _OCTETS, _NULL, _OID, _CONTEXT_0 = 0x30, 0x31, 0x02, 0x04, 0x05, 0x06, 0xA0


def signed_data(certificate: x509.Certificate, raw: bytes) -> bytes:
    """The DER of a detached signature by the key of `certificate`, whose raw signature (SHA-256) is `raw`."""
    sha256 = _tlv(_SEQUENCE, _oid(SHA256) + _tlv(_NULL))
    if isinstance(certificate.public_key(), rsa.RSAPublicKey):
        algorithm = _tlv(_SEQUENCE, _oid(RSA) + _tlv(_NULL))
    else:
        algorithm = _tlv(_SEQUENCE, _oid(ECDSA_SHA256))
    who = _tlv(_SEQUENCE, certificate.issuer.public_bytes() + _integer(certificate.serial_number))
    signer = _tlv(_SEQUENCE, _integer(1) + who + sha256 + algorithm + _tlv(_OCTETS, raw))
    content = _tlv(
        _SEQUENCE,
        _integer(1)
        + _tlv(_SET, sha256)
        + _tlv(_SEQUENCE, _oid(DATA))
        + _tlv(_CONTEXT_0, certificate.public_bytes(Encoding.DER))
        + _tlv(_SET, signer),
    )
    return _tlv(_SEQUENCE, _oid(SIGNED_DATA) + _tlv(_CONTEXT_0, content))


def made_by(certificate: x509.Certificate, raw: bytes, data: bytes) -> bool:
    """Whether `raw` is the signature of `data` by the key of `certificate`."""
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, data, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def check_usable(certificate: x509.Certificate, where: str) -> None:
    """Raises OvenbirdError for a certificate whose signatures devices would not take."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
        return
    raise OvenbirdError(
        "the key of this certificate cannot sign bundles",
        where=where,
        hint="use RSA with 2048 bits or more, or ECDSA on P-256, P-384 or P-521",
    )


def _tlv(tag: int, content: bytes = b"") -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray((first * 40 + second,))
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        out += bytes(reversed(groups))
    return _tlv(_OID, bytes(out))
