"""How HTTPS is served with a certificate: TLS 1.2 or newer, forward secrecy only. The one module that needs `ssl`."""

from __future__ import annotations

import ssl
from contextlib import ExitStack

from ..openssl import in_memory, path_of
from .certificate import CertificateError, Identity

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
_WORDS = {
    "KEY_VALUES_MISMATCH": "The key does not belong to the first certificate; the device's own one comes first.",
    "KEY_TYPE_MISMATCH": "The key does not belong to the first certificate; the device's own one comes first.",
    "EE_KEY_TOO_SMALL": "The key is too short: RSA has 2048 bits or more.",
    "CA_KEY_TOO_SMALL": "A key in the chain is too short: RSA has 2048 bits or more.",
    "CA_MD_TOO_WEAK": "A certificate of the chain is signed in a way that nobody takes any more.",
}


def context(identity: Identity) -> ssl.SSLContext:
    """A context that serves it. Raises CertificateError if it cannot be served."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(_CIPHERS)
    made.set_alpn_protocols(["http/1.1"])
    made.options |= ssl.OP_NO_RENEGOTIATION
    load(made, identity)
    return made


def load(into: ssl.SSLContext, identity: Identity) -> None:
    """Have a context serve it from now on. One that fails leaves no usable context behind. Raises CertificateError."""
    with ExitStack() as stack:
        file = stack.enter_context(in_memory("identity", identity.pem))
        try:
            # Without a password OpenSSL would ask for that of an encrypted key on a terminal.
            into.load_cert_chain(path_of(file), password="")
        except ssl.SSLError as error:
            raise CertificateError(_WORDS.get(error.reason or "", "Certificate or key cannot be read.")) from error
        except (OSError, ValueError) as error:
            raise CertificateError(f"Certificate or key cannot be loaded: {error}.") from error
