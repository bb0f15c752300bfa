"""Signatures by an ssh-agent: a key that stays in an agent, behind a passphrase, on a token or another machine.

An agent signs any bytes that it is given, so its RSA signature with SHA-256 is the very signature that CMS wants
(`cms.py`). gpg-agent and the agents of password managers speak the same protocol.
Format: draft-miller-ssh-agent; the keys and signatures in it, RFC 4253 6.6, RFC 5656 3.1.2 and RFC 8332.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ovenbird.errors import HostError, OvenbirdError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_FAILURE, _SIGN_REQUEST, _SIGN_RESPONSE = 5, 13, 14
_RSA_SHA2_256: Final = 2
_LARGEST: Final = 1 << 20
_PATIENCE: Final = 120.0  # A person may have to touch a token.


def sign(key: PublicKey, data: bytes) -> bytes | None:
    """The raw signature (SHA-256) of `data`, or None if the agent has not this key. HostError without an agent."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name != "secp256r1":
        return None  # An agent hashes for the other curves with more than SHA-256.
    request = bytes((_SIGN_REQUEST,)) + _string(_blob(key)) + _string(data) + struct.pack(">I", _RSA_SHA2_256)
    answer = _ask(request)
    if answer[:1] == bytes((_FAILURE,)):
        return None
    if answer[:1] != bytes((_SIGN_RESPONSE,)):
        raise OvenbirdError("the ssh-agent gave an answer that makes no sense")
    signature, _ = _take(answer[1:])
    kind, rest = _take(signature)
    raw, _ = _take(rest)
    if isinstance(key, rsa.RSAPublicKey):
        if kind != b"rsa-sha2-256":
            raise OvenbirdError("the ssh-agent cannot sign with SHA-256", hint="use a newer agent")
        return raw.rjust((key.key_size + 7) // 8, b"\0")
    r, rest = _take(raw)
    s, _ = _take(rest)
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def _blob(key: PublicKey) -> bytes:
    import base64

    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _ask(request: bytes) -> bytes:
    place = os.environ.get("SSH_AUTH_SOCK")
    hint = "start one and add the key: `ssh-agent`, `ssh-add FILE`"
    if not place:
        raise HostError("there is no ssh-agent (SSH_AUTH_SOCK is not set)", hint=hint)
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(_PATIENCE)
            agent.connect(place)
            agent.sendall(_string(request))
            with agent.makefile("rb") as stream:
                size = int.from_bytes(stream.read(4), "big")
                answer = stream.read(min(size, _LARGEST))
    except OSError as error:
        raise HostError(f"the ssh-agent does not answer: {error}", hint=hint) from error
    if not answer or len(answer) != size:
        raise HostError("the ssh-agent broke off", hint=hint)
    return answer


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size or len(data) < 4:
        raise OvenbirdError("the ssh-agent gave an answer that makes no sense")
    return data[4 : 4 + size], data[4 + size :]
