"""The accounts that somebody can log in to, and where their keys come from.

Keys given on the device lie in `/etc/ovenbird/users/NAME.keys`, root's own, and go with the device into a new slot;
sshd looks there because the stage `ssh` tells it so. Keys that came with the image are the image's. What users keep in
their own `~/.ssh` is theirs: neither the agent nor the steward can read home folders.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..slots import files
from . import keys
from .keys import BadKeyError, Key

MOST_KEYS = 32
_NO_SHELLS = ("nologin", "false", "sync", "halt", "shutdown")
_FIRST, _LAST = 1000, 60000
"""Numbers of people's accounts; systemd and Debian agree."""
_MOST_BYTES = 256 << 10


class UsersError(Exception):
    """It was not done; the message is for people, `reason` for programs."""

    def __init__(self, message: str, reason: str = "users") -> None:
        super().__init__(message)
        self.reason = reason


class GivenKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an account; `source`: `image` or `device` (then it can be removed here)."""

    kind: str
    fingerprint: str
    comment: str
    source: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    name: str
    uid: int
    home: str
    shell: str
    keys: list[GivenKey]


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts that can log in. `ssh`: whether this image's SSH server looks at keys that are given here."""

    ssh: bool
    users: list[User]


class Places(msgspec.Struct, frozen=True):
    """Where things are; tests put them elsewhere."""

    kept: Path = Path("/etc/ovenbird/users")
    passwd: Path = Path("/etc/passwd")
    ssh: Path = Path("/etc/ssh")

    def kept_file(self, name: str) -> Path:
        """The keys of an account that were given on the device."""
        return self.kept / f"{name}.keys"


def known(places: Places) -> Users:
    """All accounts with their keys."""
    return Users(ssh=_looked_at(places), users=[_user(entry, places) for entry in _entries(places.passwd)])


def is_person(places: Places, name: str) -> bool:
    """Whether somebody other than root can log in by this name."""
    return any(entry[0] == name and int(entry[2]) != 0 for entry in _entries(places.passwd))


def add(places: Places, name: str, text: str) -> Key:
    """Give an account a key. Raises UsersError, and OSError."""
    _check(places, name)
    try:
        key = keys.parse(text)
    except BadKeyError as error:
        raise UsersError(str(error), "key") from error
    have = _device_keys(places, name)
    if any(one.fingerprint == key.fingerprint for one in have):
        raise UsersError("That key is there already.", "key")
    if len(have) >= MOST_KEYS:
        raise UsersError(f"An account takes {MOST_KEYS} keys here at most.", "key")
    _write(places.kept_file(name), [*have, key])
    return key


def remove(places: Places, name: str, fingerprint: str) -> Key:
    """Take a key away that was given on the device. Raises UsersError, and OSError."""
    _check(places, name)
    have = _device_keys(places, name)
    gone = next((one for one in have if one.fingerprint == fingerprint), None)
    if gone is None:
        raise UsersError("No such key was given on this device.", "unknown")
    _write(places.kept_file(name), [one for one in have if one is not gone])
    return gone


def _check(places: Places, name: str) -> None:
    if all(entry[0] != name for entry in _entries(places.passwd)):
        raise UsersError("Nobody can log in here by that name.", "unknown")


def _entries(passwd: Path) -> list[list[str]]:
    """The lines of passwd(5) of root and of people who have a shell."""
    found: list[list[str]] = []
    for line in _text(passwd).splitlines():
        entry = line.split(":")
        if len(entry) != 7 or not entry[2].isascii() or not entry[2].isdigit() or not _is_name(entry[0]):
            continue
        number = int(entry[2])
        if (number == 0 or _FIRST <= number < _LAST) and Path(entry[6]).name not in (*_NO_SHELLS, ""):
            found.append(entry)
    return found


def _is_name(name: str) -> bool:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    return plain.isascii() and plain.isalnum() and not name.startswith(("-", ".")) and len(name) <= 32


def _user(entry: list[str], places: Places) -> User:
    name = entry[0]
    image = keys.read(_text(places.ssh / "authorized_keys.d" / name))
    given = [(one, "image") for one in image] + [(one, "device") for one in _device_keys(places, name)]
    return User(
        name=name,
        uid=int(entry[2]),
        home=entry[5],
        shell=entry[6],
        keys=[
            GivenKey(kind=one.kind, fingerprint=one.fingerprint, comment=one.comment, source=source)
            for one, source in given
        ],
    )


def _device_keys(places: Places, name: str) -> list[Key]:
    return keys.read(_text(places.kept_file(name)))


def _looked_at(places: Places) -> bool:
    """Whether sshd is told to look for keys that are given here; the first word on it counts (sshd_config(5))."""
    for path in (*sorted((places.ssh / "sshd_config.d").glob("*.conf")), places.ssh / "sshd_config"):
        for line in _text(path).splitlines():
            words = line.split()
            if words and words[0].lower() == "authorizedkeysfile":
                return any(word.strip('"').startswith("/etc/ovenbird/users/") for word in words[1:])
    return False


def _write(path: Path, wanted: list[Key]) -> None:
    """sshd reads the file as the account's user, so everybody may."""
    files.publish(path, "".join(one.line for one in wanted))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
