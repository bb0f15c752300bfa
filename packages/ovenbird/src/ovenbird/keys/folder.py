"""The user's own keys: `~/.config/ovenbird/keys/NAME.key`, with the certificate `NAME.pem` beside each.

The private half stays in this folder, readable by its owner alone; recipes and images only ever get the certificate.
It is valid from 1970 to the end of X.509's time, because a device may not know what time it is: a key is withdrawn by
an image that no longer names it, not by a date.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ovenbird.errors import UsageError
from ovenbird.files import write_atomically
from ovenbird.keys.certificates import pem

BITS: Final = 3072
DEFAULT: Final = "updates"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBERED: Final = re.compile(r"(.+)-([0-9]{1,6})")
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no date of expiry


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the folder. `private` may be missing: then only somebody else can sign with it."""

    name: str
    private: Path
    certificate: Path

    def load(self) -> x509.Certificate:
        """The certificate. UsageError if the file holds none."""
        try:
            return x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except ValueError as error:
            raise UsageError("this is not a certificate in PEM form", where=str(self.certificate)) from error


def keys_folder() -> Path:
    """Where keys are: `$OVENBIRD_KEYS`, else `ovenbird/keys` in the user's folder for configuration."""
    if own := os.environ.get("OVENBIRD_KEYS"):
        return Path(own)
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "ovenbird" / "keys"


def all_keys() -> list[Key]:
    """Every key with a certificate, by name."""
    return [_key(file.stem) for file in sorted(keys_folder().glob("*.pem")) if file.is_file()]


def find_key(name: str) -> Key:
    """The key of this name. UsageError if there is none."""
    key = _key(_checked(name))
    if key.certificate.is_file():
        return key
    names = ", ".join(key.name for key in all_keys())
    raise UsageError(
        f"there is no key {name!r} in {keys_folder()}",
        hint=f"there are: {names}" if names else f"`ovenbird keys new {name}` makes it",
    )


def new_key(name: str) -> Key:
    """Make a key and its certificate. UsageError if the name is taken: no key is ever overwritten."""
    key = _key(_checked(name))
    if key.private.exists() or key.certificate.exists():
        raise UsageError(
            f"there is a key {name!r} already, in {keys_folder()}",
            hint=f"use it, take another name, or `ovenbird keys rotate {name}`",
        )
    key.private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = rsa.generate_private_key(65537, BITS)
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    number = os.open(key.private, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(number)
    write_atomically(key.certificate, pem(self_signed(private, name)).encode())
    return key


def rotate_key(name: str) -> tuple[Key, Key]:
    """The key of this name and a new one that follows it ("updates" is followed by "updates-2")."""
    old = find_key(name)
    found = _NUMBERED.fullmatch(name)
    stem, number = (found[1], int(found[2])) if found else (name, 1)
    return old, new_key(f"{stem}-{number + 1}")


def self_signed(private: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    """A certificate for signing bundles and nothing else; what the real swupdate asks for."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, SHA256())
    )


def copy_certificate(key: Key, folder: Path) -> Path:
    """Put a key's certificate into a folder, beside a recipe for example; returns the file."""
    target = folder / key.certificate.name
    content = key.certificate.read_bytes()
    if target.exists() and target.read_bytes() != content:
        raise UsageError("there is another certificate of this name", where=str(target), hint="move it away first")
    write_atomically(target, content)
    return target


def _key(name: str) -> Key:
    folder = keys_folder()
    return Key(name, folder / f"{name}.key", folder / f"{name}.pem")


def _checked(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise UsageError(f"{name[:80]!r} is no name for a key", hint="use letters, digits and . _ -")
