"""The device's password: how it is made, kept and checked.

Kept as a scrypt hash in one small JSON file, replaced as a whole and never half written. Generated passwords are
three made-up words that can be read from a screen and typed on a phone: 50 random bits, which scrypt and the
sign-in delay make hopeless to guess.
"""

import base64
import os
from pathlib import Path

import msgspec

USER = "ovenbird"
FILE = "password.json"
LONGEST = 512  # bytes of a password that are looked at; longer ones are refused
SHORTEST = 8  # characters of a password that somebody chooses

_CONSONANTS = "bdfghjklmnprstvwz"
_VOWELS = "aeiou"
_WORDS = 3
_COST, _BLOCK, _LANES, _SALT, _LENGTH = 1 << 14, 8, 1, 16, 32  # 16 MiB and some 50 ms a check


class PasswordFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file: a scrypt hash with its own parameters, so that they can be raised later."""

    algorithm: str
    cost: int
    block: int
    lanes: int
    salt: str
    hash: str
    origin: str  # "credential", "generated", "chosen" or "flashed"


class PasswordError(Exception):
    """The password is not changed; the message is for people."""


def generate() -> str:
    """A fresh password such as `tobak-mirun-depol`."""
    import secrets

    return "-".join("".join(map(secrets.choice, _word_shape())) for _ in range(_WORDS))


def _word_shape() -> list[str]:
    return [_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS]


def make(password: str, origin: str) -> PasswordFile:
    """The file's content for a password."""
    salt = os.urandom(_SALT)
    digest = _scrypt(password.encode(), salt, _COST, _BLOCK, _LANES, _LENGTH)
    return PasswordFile(
        algorithm="scrypt",
        cost=_COST,
        block=_BLOCK,
        lanes=_LANES,
        salt=base64.b64encode(salt).decode(),
        hash=base64.b64encode(digest).decode(),
        origin=origin,
    )


def matches(kept: PasswordFile, password: str) -> bool:
    """Whether a password is the kept one. Takes some 50 ms and 16 MiB. Never raises for a damaged file: no match."""
    import hmac

    given = password.encode("utf-8", "surrogatepass")
    if kept.algorithm != "scrypt" or len(given) > LONGEST or not _bearable(kept):
        return False
    try:
        salt, expected = base64.b64decode(kept.salt, validate=True), base64.b64decode(kept.hash, validate=True)
        if len(expected) < _SALT:
            return False
        digest = _scrypt(given, salt, kept.cost, kept.block, kept.lanes, len(expected))
    except ValueError:
        return False
    return hmac.compare_digest(digest, expected)


def _bearable(kept: PasswordFile) -> bool:
    """Parameters that a small device can compute: at most 64 MiB."""
    return kept.cost > 1 and kept.block > 0 and 0 < kept.lanes <= 4 and 128 * kept.cost * kept.block <= 64 << 20


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, lanes: int, length: int) -> bytes:
    import hashlib  # OpenSSL with it; at most boots nobody needs any of this

    room = 128 * block * (cost + lanes + 2) + (1 << 20)
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=lanes, dklen=length, maxmem=room)


def read(path: Path) -> PasswordFile | None:
    """The kept password, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PasswordFile)
    except (OSError, msgspec.DecodeError):
        return None


def trouble(new: str) -> str:
    """What is wrong with a password that somebody wants, as a sentence; empty if nothing is."""
    if len(new) < SHORTEST:
        return f"A password has at least {SHORTEST} characters."
    if len(new.encode("utf-8", "surrogatepass")) > LONGEST:
        return f"A password has at most {LONGEST} bytes."
    return "" if new.isprintable() else "A password holds nothing that cannot be typed."


def change(path: Path, old: str, new: str) -> None:
    """Replace the kept password, for who knows it. The file keeps its group. Raises PasswordError, OSError."""
    kept = read(path)
    if kept is None or not matches(kept, old):
        raise PasswordError("That is not this device's password.")
    if wrong := trouble(new):
        raise PasswordError(wrong)
    write(path, make(new, "chosen"), group=path.stat().st_gid)


def write(path: Path, kept: PasswordFile, *, group: int | None) -> None:
    """Replace the file as a whole, durably; mode 0640, of root and `group` (unchanged when None). Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o640)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        file.write(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
