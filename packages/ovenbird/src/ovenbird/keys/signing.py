"""Who signs a build's bundle, and the signature itself.

A recipe names the certificates that its devices accept; the private half is looked for elsewhere, in this order:

1. `$OVENBIRD_SIGN_COMMAND`: a command that reads the bytes and writes the raw signature (a cloud's key service, a
   signing server; `openssl dgst -sha256 -sign FILE` is the simplest).
2. `$OVENBIRD_SIGNING_KEY`: a file, `agent` for the ssh-agent, or a `pkcs11:` URI (RFC 7512) for a token.
3. the folder of keys: the first certificate of the recipe whose private key is there. So the order in the recipe
   decides, which is what rotation needs (docs/updates.md).

Whatever signs, the result is judged with the device's own verifier before it goes into a bundle.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ovenbird.errors import HostError, OvenbirdError, UsageError
from ovenbird.keys import agent
from ovenbird.keys.certificates import common_name, fingerprint, issued_by, pem
from ovenbird.keys.cms import made_by, signed_data
from ovenbird.keys.folder import all_keys, keys_folder
from ovenbird.run import CommandError, run
from ovenbird_device.update.signature import SignatureError, VerifierError, verify

COMMAND = "OVENBIRD_SIGN_COMMAND"
KEY = "OVENBIRD_SIGNING_KEY"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Raw = Callable[[bytes], bytes]
"""Gives the raw signature (SHA-256; RSA with PKCS#1 v1.5) of some bytes."""


@dataclass(frozen=True, slots=True)
class Signing:
    """A way to sign for a recipe. `identity` stands for it in a step's key; `who` is for people."""

    identity: str
    who: str
    candidates: tuple[x509.Certificate, ...]
    accepted: tuple[x509.Certificate, ...]
    raw: Raw

    def sign(self, data: bytes) -> bytes:
        """The detached CMS signature (DER) of some bytes. Raises OvenbirdError, HostError."""
        raw = self.raw(data)
        certificate = next((one for one in self.candidates if made_by(one, raw, data)), None)
        if certificate is None:
            raise OvenbirdError(
                f"the signature by {self.who} fits none of the recipe's certificates",
                hint="add its certificate to `keys` in [update], or sign with another key",
            )
        cms = signed_data(certificate, raw)
        try:
            verify(data, cms, [pem(one) for one in self.accepted])
        except SignatureError as error:
            raise OvenbirdError(
                f"devices would not take what {common_name(certificate)} signs: {error}",
                hint="its certificate needs the usages digitalSignature and emailProtection; `ovenbird keys new`",
            ) from error
        except VerifierError as error:
            raise HostError(str(error), hint="sudo apt-get install openssl") from error
        return cms


def find_signing(accepted: Sequence[x509.Certificate]) -> Signing | None:
    """How to sign for devices that accept these certificates; None if no private key is at hand.

    Raises UsageError if a key is named that cannot be used.
    """
    chosen = _Chosen(tuple(accepted), (*accepted, *_issued(accepted)))
    if command := os.environ.get(COMMAND):
        return chosen.by(f"command {command}", f"${COMMAND}", partial(_by_command, command))
    named = os.environ.get(KEY, "")
    if named == "agent":
        return chosen.by("agent", "the ssh-agent", partial(_by_agent, chosen.candidates))
    if named.startswith("pkcs11:"):
        return chosen.by(named, "the PKCS#11 token", partial(_by_token, named))
    if named:
        key = load_private_key(Path(named))
        return chosen.by(_public(key), named, partial(sign_with, key))
    for certificate in chosen.candidates:
        for file in sorted(keys_folder().glob("*.key")):
            key = _of_folder(file)
            if key.public_key() == certificate.public_key():
                return chosen.by(fingerprint(certificate), str(file), partial(sign_with, key))
    return None


@dataclass(frozen=True, slots=True)
class _Chosen:
    accepted: tuple[x509.Certificate, ...]
    candidates: tuple[x509.Certificate, ...]

    def by(self, identity: str, who: str, raw: Raw) -> Signing:
        return Signing(identity, who, self.candidates, self.accepted, raw)


def _issued(accepted: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates of the folder of keys that were issued by an accepted one: for recipes that name an issuer."""
    own = [key.load() for key in all_keys()]
    return [one for one in own if one not in accepted and issued_by(one, accepted)]


def load_private_key(file: Path) -> PrivateKey:
    """A private key of a PEM file. UsageError if it is missing, encrypted or of no use."""
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except TypeError as error:
        raise UsageError(
            "this private key is encrypted",
            where=str(file),
            hint=f"`ssh-add {file}` (it asks for the passphrase), then build with {KEY}=agent",
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the private key cannot be read: {reason}", where=str(file)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("this is no private key in PEM form", where=str(file)) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise UsageError("only RSA and ECDSA keys can sign bundles", where=str(file))
    return key


def sign_with(key: PrivateKey, data: bytes) -> bytes:
    """The raw signature by a private key."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _of_folder(file: Path) -> PrivateKey:
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError("others can read this private key", where=str(file), hint=f"chmod 600 {file}")
    return load_private_key(file)


def _public(key: PrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def _by_agent(candidates: Sequence[x509.Certificate], data: bytes) -> bytes:
    for certificate in candidates:
        raw = agent.sign(cast("agent.PublicKey", certificate.public_key()), data)
        if raw is not None:
            return raw
    names = ", ".join(common_name(one) for one in candidates)
    raise HostError(f"the ssh-agent has no key for {names}", hint="add it: `ssh-add FILE`")


def _by_command(command: str, data: bytes) -> bytes:
    words = shlex.split(command)
    if not words:
        raise UsageError(f"${COMMAND} is empty")
    return _output(words, data, f"${COMMAND}", env=dict(os.environ))


def _by_token(uri: str, data: bytes) -> bytes:
    """By OpenSSL and whichever of its two ways to tokens is installed: the newer provider or the older engine."""
    provider = ["-provider", "pkcs11", "-provider", "default"]
    probe = run(["openssl", "list", "-providers", *provider[:2]], check=False)
    if probe.returncode == 0 and "pkcs11" in probe.stdout.lower():
        way = provider
    else:
        probe = run(["openssl", "engine", "pkcs11"], check=False)
        if probe.returncode != 0 or "pkcs11" not in probe.stdout.lower():
            raise HostError(
                "OpenSSL cannot reach tokens on this machine",
                hint="sudo apt-get install pkcs11-provider, or libengine-pkcs11-openssl on older systems",
            )
        way = ["-engine", "pkcs11", "-keyform", "engine"]
    return _output(["openssl", "dgst", "-sha256", *way, "-sign", uri], data, "the token", env=_openssl_environment())


def _openssl_environment() -> dict[str, str]:
    prefixes = ("OPENSSL_", "PKCS11_", "SOFTHSM2_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


def _output(words: Sequence[str], data: bytes, what: str, *, env: dict[str, str]) -> bytes:
    with tempfile.TemporaryFile() as stream:
        try:
            run(words, stdin=data, stdout=stream, what=what, env=env)
        except CommandError as error:
            raise OvenbirdError(f"signing failed: {error.message}", hint="run the same by hand to see why") from error
        stream.seek(0)
        return stream.read(1 << 16)
