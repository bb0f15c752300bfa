"""SSH public keys (RFC 4253, 5656, 8709; sshd(8), "authorized_keys file format"): read, judged, written by us.

What is added here is one bare key: no options, and a line that this module writes itself, so that nothing which came
over the network gets a line or an option of its own into the file that sshd believes.
"""

from __future__ import annotations

import base64
import hashlib
import struct

import msgspec

LONGEST = 3000
"""Characters of a line that are looked at."""
_LONGEST_COMMENT = 100
_LEAST_RSA = 2048
KINDS = {
    "ssh-ed25519": "Ed25519",
    "ssh-rsa": "RSA",
    "ecdsa-sha2-nistp256": "ECDSA",
    "ecdsa-sha2-nistp384": "ECDSA",
    "ecdsa-sha2-nistp521": "ECDSA",
    "sk-ssh-ed25519@openssh.com": "Ed25519 (token)",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA (token)",
}


class BadKeyError(ValueError):
    """This is no key that would be taken; the message is for people."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A public key."""

    kind: str
    """As sshd calls it: `ssh-ed25519`."""
    fingerprint: str
    """As ssh-keygen shows it: `SHA256:…`."""
    comment: str
    blob: str
    """Base64."""

    @property
    def line(self) -> str:
        """The line of an authorized_keys file."""
        return f"{self.kind} {self.blob} {self.comment}".rstrip() + "\n"


def parse(text: str) -> Key:
    """The key in a line such as an `id_ed25519.pub` has. Raises BadKeyError."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise BadKeyError(
            "That is a private key: keep it to yourself, and give the public one, whose file ends in .pub."
        )
    if not line or len(line) > LONGEST or "\n" in line or "\r" in line:
        raise BadKeyError("Give one public key: the line in a file that ends in .pub.")
    words = line.split(None, 2)
    if words[0] not in KINDS or len(words) < 2:
        raise BadKeyError(f"A public key begins with one of {', '.join(KINDS)}, and has no options before it.")
    kind, comment = words[0], words[2] if len(words) == 3 else ""
    try:
        blob = base64.b64decode(words[1], validate=True)
        fields = _fields(blob)
    except (ValueError, struct.error) as error:
        raise BadKeyError("That key is damaged: perhaps a part of its line is missing.") from error
    if fields[0] != kind.encode() or len(fields) < _LEAST_FIELDS[kind]:
        raise BadKeyError("That key is damaged: it is not of the kind that it says.")
    if kind == "ssh-rsa" and int.from_bytes(fields[2], "big").bit_length() < _LEAST_RSA:
        raise BadKeyError(f"That RSA key has less than {_LEAST_RSA} bits; make another one, of kind ed25519 perhaps.")
    if kind == "ssh-ed25519" and len(fields[1]) != 32:
        raise BadKeyError("That key is damaged: it has not the length of its kind.")
    return Key(
        kind=kind,
        fingerprint=_fingerprint(blob),
        comment="".join(sign for sign in comment if sign.isprintable())[:_LONGEST_COMMENT].strip(),
        blob=base64.b64encode(blob).decode(),
    )


_LEAST_FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


def _fields(blob: bytes) -> list[bytes]:
    """The strings that a key is made of: a length of 32 bits before each."""
    found: list[bytes] = []
    offset = 0
    while offset < len(blob):
        (length,) = struct.unpack_from(">I", blob, offset)
        offset += 4
        if offset + length > len(blob):
            raise ValueError("cut off")
        found.append(blob[offset : offset + length])
        offset += length
    if not found:
        raise ValueError("empty")
    return found


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read(text: str) -> list[Key]:
    """The keys in the text of an authorized_keys file, without their options; what makes no sense is passed over."""
    found: list[Key] = []
    for line in text.splitlines():
        words = line.split()
        start = next((index for index, word in enumerate(words) if word in KINDS), None)
        if start is None or line.lstrip().startswith("#"):
            continue
        try:
            found.append(parse(" ".join(words[start:])))
        except BadKeyError:
            continue
    return found
