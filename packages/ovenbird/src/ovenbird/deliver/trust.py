"""Whether a device that answers by HTTPS is the one that is meant.

A certificate that this machine's own authorities vouch for is good for its names, as in a browser. Any other is
trusted on first use: its fingerprint is kept beside the device's password, and from then on no other is taken. The pin
is looked at in every connection, before a byte of a request is sent; times and names do not count for it.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import sys
from typing import Any

from ovenbird.deliver.target import Target, pin, pinned
from ovenbird.errors import NetworkError, OvenbirdError

CONNECT = 8.0


class CertificateError(OvenbirdError):
    """It may be another device, or somebody in between."""


class _Pinned(ssl.SSLContext):
    """Takes one certificate, and no other."""

    target: Target
    fingerprint: str

    def wrap_socket(self, *words: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as the class above has it
        """Shake hands, and look who it is. Raises CertificateError."""
        made = super().wrap_socket(*words, **options)
        shown = _fingerprint(made)
        if shown != self.fingerprint:
            made.close()
            raise _changed(self.target, self.fingerprint, shown)
        return made


def context(target: Target) -> ssl.SSLContext:
    """What the connections to a device are made with; a device that is met for the first time is remembered.

    Raises NetworkError if it does not answer, CertificateError if it is not the one that is known.
    """
    known = pinned(target)
    shown = _shown(target, _any())
    if shown != known:
        verifying = ssl.create_default_context()
        try:
            _shown(target, verifying)
        except ssl.SSLCertVerificationError as error:
            if known is not None:
                raise _changed(target, known, shown) from error
        else:
            return verifying
    if known is None:
        pin(target, shown)
        print(f"note: {target.name} is known by its certificate from now on: SHA-256 {shown}", file=sys.stderr)
    made = _any(_Pinned)
    assert isinstance(made, _Pinned)
    made.target, made.fingerprint = target, shown
    return made


def _any(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """A context that looks at no certificate."""
    made = kind(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _shown(target: Target, by: ssl.SSLContext) -> str:
    """The fingerprint of the certificate that a device shows. Raises SSLCertVerificationError, NetworkError."""
    try:
        with (
            socket.create_connection((target.host, target.port), CONNECT) as plain,
            by.wrap_socket(plain, server_hostname=target.host) as secure,
        ):
            return _fingerprint(secure)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        words = (error.strerror or str(error)) if not isinstance(error, TimeoutError) else "no connection in time"
        hint = None if target.explicit else f"if it does not serve HTTPS any more, call it http://{target.host}"
        raise NetworkError(f"{target.name} does not answer by HTTPS: {words}", hint=hint) from error


def _fingerprint(connection: ssl.SSLSocket) -> str:
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def _changed(target: Target, known: str, shown: str) -> CertificateError:
    return CertificateError(
        f"{target.name} shows another certificate than before: SHA-256 {shown}, not {known}",
        hint="somebody may be in between. If it was given another one, or was reset, compare that with its screen, and "
        f"forget the old one: sed -i '/^fingerprint/d' {target.file}",
    )
