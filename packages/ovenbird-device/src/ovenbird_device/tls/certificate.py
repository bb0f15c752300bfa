"""A certificate with its chain and key, and what it tells. The `openssl` program reads it, as on the device no library
does; whether the key fits is found out by loading both as the agent will.

The device's own is self-signed: P-256, valid from 1970 on, because a device without a clock lives there, and for longer
than the device, because who trusts it trusts this one key and nobody renews it.

At most boots only what was written before is read, so what more it takes is imported where it is needed.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

MOST_BYTES: Final = 48 << 10
"""Of chain and key: a form with them must fit through the door."""
MOST_CERTIFICATES: Final = 8
_BEGIN, _END = "19700101000000Z", "20991231235959Z"
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n(.*?)-----END \1-----", re.DOTALL)
_KEYS = frozenset({"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"})
_FACT = re.compile(r"^(notBefore|notAfter|subject|issuer)= ?(.*)$", re.MULTILINE)
_NAMES = re.compile(r"X509v3 Subject Alternative Name:[^\n]*\n([^\n]*)")
_CLOCK_SET: Final = 1_700_000_000
"""A time that is later than this was told by somebody: a clock that was never set shows 1970, or the image's date."""

_CONFIGURATION = """\
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
default_md = sha256
rand_serial = yes
policy = any
x509_extensions = page
[any]
commonName = supplied
[page]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {names}
[req]
distinguished_name = name
[name]
"""


class CertificateError(Exception):
    """It is not taken; the message is for people."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate tells. Times are seconds since 1970."""

    fingerprint: str
    """SHA-256 of the certificate (DER), in hexadecimal."""
    names: tuple[str, ...]
    """Host names and addresses that it is for."""
    subject: str
    issuer: str
    begins: int
    ends: int


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with all that belongs to it: PEM texts, the chain with the certificate first."""

    chain: str
    key: str
    facts: Facts

    @property
    def pem(self) -> bytes:
        """Key and chain, as a server loads them."""
        return f"{self.key}{self.chain}".encode()


def make(hostname: str, addresses: Sequence[str] = ()) -> Identity:
    """A fresh certificate of the device's own, for its name, that name in `.local`, and addresses.

    Raises CertificateError, and OSError.
    """
    import tempfile

    label = hostname.partition(".")[0]
    names = [f"DNS:{one}" for one in dict.fromkeys((hostname, label, f"{label}.local")) if _is_name(one)]
    names += [f"IP:{one}" for one in addresses if _is_address(one)]
    if not names:
        raise CertificateError(f"{hostname!r} is no host name")
    with tempfile.TemporaryDirectory(prefix="ovenbird-tls-") as name:
        folder = Path(name)
        configuration = folder / "openssl.cnf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, names=", ".join(names)))
        (folder / "index").touch()
        key, wish, made = folder / "key.pem", folder / "wish.pem", folder / "made.pem"
        # The program `openssl req` takes dates from version 3.4 on only.
        for words in (
            ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key),
            ("req", "-new", "-key", key, "-subj", f"/CN={label[:64]}", "-out", wish),
            ("ca", "-selfsign", "-batch", "-notext", "-startdate", _BEGIN, "-enddate", _END, "-keyfile", key,
             "-in", wish, "-out", made),
        ):  # fmt: skip
            _run(words, configuration)
        return read(made.read_text("ascii") + key.read_text("ascii"))


def read(text: str) -> Identity:
    """Take a chain and its key out of PEM text, and try them. What stands between the blocks is passed over.

    Raises CertificateError for anything that a server cannot use.
    """
    chain, key = split(text)
    facts = _facts(chain[0])
    found = Identity(chain="".join(chain), key=key, facts=facts)
    from .serving import context  # With the ssl module, which nobody needs at most boots.

    context(found)
    return found


def split(text: str) -> tuple[list[str], str]:
    """The certificates of a PEM text, and the one key. Raises CertificateError for what is not exactly that."""
    if len(text) > MOST_BYTES:
        raise CertificateError(f"Certificates and key have at most {MOST_BYTES >> 10} KiB together.")
    chain: list[str] = []
    keys: list[str] = []
    for kind, inside in _BLOCK.findall(text):
        if "ENCRYPTED" in kind or "ENCRYPTED" in inside:
            raise CertificateError("The key is encrypted; the device has nobody to ask for its password.")
        block = f"-----BEGIN {kind}-----\n{_lines(inside)}-----END {kind}-----\n"
        if kind == "CERTIFICATE":
            chain.append(block)
        elif kind in _KEYS:
            keys.append(block)
    if not chain:
        raise CertificateError("There is no certificate in it (a PEM text with BEGIN CERTIFICATE).")
    if len(chain) > MOST_CERTIFICATES:
        raise CertificateError(f"A chain has at most {MOST_CERTIFICATES} certificates here.")
    if len(keys) != 1:
        what = "There is no private key in it" if not keys else "There is more than one private key in it"
        raise CertificateError(f"{what} (a PEM text with BEGIN PRIVATE KEY).")
    return chain, keys[0]


def _lines(inside: str) -> str:
    """The lines of a PEM block anew, so that nothing but base64 is passed on."""
    try:
        content = base64.b64decode("".join(inside.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CertificateError("The text is damaged: it is not all PEM.") from error
    return base64.encodebytes(content).decode("ascii")


def expired(facts: Facts, now: float) -> bool:
    """Whether it has expired, as far as a clock can tell that was set at all."""
    return now > _CLOCK_SET and now > facts.ends


def early(facts: Facts, now: float) -> bool:
    """Whether it is not valid yet, likewise."""
    return now > _CLOCK_SET and now < facts.begins


def day(seconds: int) -> str:
    """A date for people."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _facts(certificate: str) -> Facts:
    import hashlib

    from ..openssl import OpensslError, in_memory, openssl, path_of

    with in_memory("certificate", certificate.encode()) as file:
        words = ("-noout", "-startdate", "-enddate", "-dateopt", "iso_8601", "-subject", "-issuer")
        try:
            done = openssl(
                "x509", "-in", path_of(file), *words, "-nameopt", "RFC2253", "-ext", "subjectAltName", files=(file,)
            )
        except OpensslError as error:
            raise CertificateError(f"The certificate cannot be looked at: {error}.") from error
        if done.returncode:
            raise CertificateError("The certificate cannot be read.")
    der = base64.b64decode("".join(certificate.splitlines()[1:-1]))
    return told(done.stdout.decode("utf-8", "replace"), hashlib.sha256(der).hexdigest())


def told(said: str, fingerprint: str) -> Facts:
    """What `openssl x509` said, as facts. Raises CertificateError for what makes no sense."""
    facts: Mapping[str, str] = dict(_FACT.findall(said))
    try:
        begins, ends = (_seconds(facts[name]) for name in ("notBefore", "notAfter"))
    except (KeyError, ValueError, OverflowError) as error:
        raise CertificateError("The certificate does not say how long it is valid.") from error
    listed = _NAMES.search(said)
    names = [one.strip().partition(":") for one in listed[1].split(",")] if listed else []
    return Facts(
        fingerprint=fingerprint,
        names=tuple(value for kind, _, value in names if kind in ("DNS", "IP Address") and value),
        subject=facts.get("subject", ""),
        issuer=facts.get("issuer", ""),
        begins=begins,
        ends=ends,
    )


def _seconds(text: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(text.strip(), "%Y-%m-%d %H:%M:%SZ"))


def _run(words: Sequence[str | Path], configuration: Path) -> None:
    from ..openssl import OpensslError, openssl

    try:
        done = openssl(*words, configuration=configuration)
    except OpensslError as error:
        raise CertificateError(f"The device's certificate cannot be made: {error}.") from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
        raise CertificateError(f"The device's certificate cannot be made: openssl: {last[0]}")


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text) is not None


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
