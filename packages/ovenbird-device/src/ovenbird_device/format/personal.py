"""The personal file: what makes a freshly flashed card the card of one device.

The workstation puts it onto the data partition while it flashes (never into an image, never onto a FAT); the device's
first boot takes it from there, root's alone. It is judged on both sides, so that nothing in it becomes a line or an
option of its own in the files that are made of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, Literal

import msgspec

from ..accounts import keys
from ..network.settings import NetworkSettings, SettingsError, is_interface
from ..network.settings import check as check_network
from ..provision.password import PasswordFile
from . import FormatError

FORMAT: Final = 1
DATA: Final = "data"
"""The name of the partition that it is on."""
IN_DATA: Final = "ovenbird/personal.json"
"""Its path there."""
LARGEST: Final = 1 << 20
MOST_KEYS: Final = 32
MOST_NETWORKS: Final = 16
LARGEST_SECRET: Final = 256 << 10
CLASSES: Final = ("wired", "wifi")
"""What an address may be for in place of one interface's name."""

Security = Literal["wpa2", "wpa3", "wpa2-wpa3", "open"]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_USER = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_HASH = re.compile(r"\$[0-9a-z]{1,10}\$[./A-Za-z0-9$,=_-]{8,300}", re.ASCII)
_PSK = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,20}(\.[A-Za-z0-9-]{1,20})?(@[A-Za-z0-9]{1,20})?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}", re.ASCII)
_SERVER = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]{1,255}(/[\x21-\x7e]{0,1000})?", re.ASCII)
_APP = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Unknown fields are ignored: a newer workstation may say more."""


class Account(_Part, frozen=True, kw_only=True):
    """Somebody who may log in. An account that the image has keeps its number, its home and its shell."""

    name: str
    password: str = ""
    """As crypt(5) has it; empty: none."""
    keys: tuple[str, ...] = ()
    """SSH public keys, a line each."""
    sudo: bool = True
    groups: tuple[str, ...] = ()


class WifiNetwork(_Part, frozen=True, kw_only=True):
    """A Wi-Fi network to connect with."""

    ssid: str
    security: Security = "wpa2"
    secret: str = ""
    """64 hexadecimal digits are the key itself, which WPA2 is content with; all else is the passphrase."""
    hidden: bool = False


class Wifi(_Part, frozen=True, kw_only=True):
    """Wi-Fi: the networks, and the country whose rules of the radio hold."""

    country: str = ""
    networks: tuple[WifiNetwork, ...] = ()


class Address(_Part, frozen=True, kw_only=True):
    """A fixed address, of one interface or of all of a class."""

    interface: str = "wired"
    settings: NetworkSettings = NetworkSettings()


class Personal(_Part, frozen=True, kw_only=True):
    """All of it; what is empty is left as the image has it."""

    format: int = FORMAT
    hostname: str = ""
    password: PasswordFile | None = None
    """The page's."""
    account: Account | None = None
    wifi: Wifi | None = None
    address: Address | None = None
    locale: str = ""
    timezone: str = ""
    server: str = ""
    """The update server's address."""
    secrets: dict[str, dict[str, str]] = msgspec.field(default_factory=dict[str, dict[str, str]])
    """Of apps, by the app's and the secret's name; base64."""
    applied: bool = False
    """Whether the device has taken it: then nothing is left in it that was to be done once."""


def check(given: Personal) -> Personal:
    """The same with what has a canonical form in it. Raises FormatError, whose message is for people."""
    if given.format != FORMAT:
        raise FormatError(f"a personal file of format {given.format} is not known, only {FORMAT} is")
    if given.hostname and (
        len(given.hostname) > 64 or not all(_LABEL.fullmatch(one) for one in given.hostname.split("."))
    ):
        raise FormatError(f'"{_shown(given.hostname)}" is no host name: use lower-case letters, digits and "-"')
    for text, pattern, what in (
        (given.locale, _LOCALE, "locale, as de_AT.UTF-8 is"),
        (given.timezone, _ZONE, "time zone, as Europe/Vienna is"),
        (given.server, _SERVER, "address of a server, as https://updates.example.org/ is"),
    ):
        if text and not pattern.fullmatch(text):
            raise FormatError(f'"{_shown(text)}" is no {what}')
    account = None if given.account is None else _account(given.account)
    if given.wifi is not None:
        _wifi(given.wifi)
    address = None if given.address is None else _address(given.address)
    _secrets(given.secrets)
    return msgspec.structs.replace(given, account=account, address=address)


def _account(given: Account) -> Account:
    if not _USER.fullmatch(given.name):
        raise FormatError(f'"{_shown(given.name)}" is no name of a user: use a-z, 0-9, "_" and "-", a letter first')
    if given.name in ("root", "ovenbird"):
        raise FormatError(f"{given.name} is not a user that a person logs in as")
    if given.password and not _HASH.fullmatch(given.password):
        raise FormatError("the hash of the user's password is none, as `openssl passwd -6` makes one")
    if len(given.keys) > MOST_KEYS:
        raise FormatError(f"a user has at most {MOST_KEYS} SSH keys")
    for name in given.groups:
        if not _USER.fullmatch(name):
            raise FormatError(f'"{_shown(name)}" is no name of a group')
    try:
        lines = tuple(dict.fromkeys(keys.parse(line).line for line in given.keys))
    except keys.BadKeyError as error:
        raise FormatError(f"SSH key of {given.name}: {error}") from error
    return msgspec.structs.replace(given, keys=lines)


def _wifi(given: Wifi) -> None:
    if given.country and not _COUNTRY.fullmatch(given.country):
        raise FormatError(f'"{_shown(given.country)}" is no country: write its two letters, as AT')
    if len(given.networks) > MOST_NETWORKS:
        raise FormatError(f"there can be {MOST_NETWORKS} Wi-Fi networks at most")
    for one in given.networks:
        name = f'Wi-Fi "{_shown(one.ssid)}"'
        if not 1 <= len(one.ssid.encode("utf-8", "surrogateescape")) <= 32 or "\0" in one.ssid:
            raise FormatError(f"{name}: a name of a network has 1 to 32 bytes")
        if one.security == "open":
            if one.secret:
                raise FormatError(f"{name} has a passphrase, but is said to be open")
        elif not one.secret:
            raise FormatError(f"{name} needs its passphrase")
        elif _PSK.fullmatch(one.secret):
            if one.security != "wpa2":
                raise FormatError(f"{name}: WPA3 needs the passphrase; the key that is made of it serves WPA2 alone")
        elif not 8 <= len(one.secret) <= 63 or not (one.secret.isascii() and one.secret.isprintable()):
            # IEEE 802.11, "Suggested pass-phrase-to-PSK mapping": 8 to 63 printable ASCII characters
            raise FormatError(f"{name}: a passphrase has 8 to 63 characters, letters and signs of ASCII")


def _address(given: Address) -> Address:
    if given.interface not in CLASSES and not is_interface(given.interface):
        raise FormatError(f'"{_shown(given.interface)}" is no interface: write wired, wifi, or its name')
    try:
        settings = check_network(given.settings)
    except SettingsError as error:
        raise FormatError(str(error)) from error
    return msgspec.structs.replace(given, settings=settings)


def _secrets(given: dict[str, dict[str, str]]) -> None:
    for app, values in given.items():
        if not _APP.fullmatch(app):
            raise FormatError(f'"{_shown(app)}" is no name of an app')
        for name, value in values.items():
            if not _SECRET.fullmatch(name):
                raise FormatError(f'"{_shown(name)}" is no name of a secret of {app}')
            try:
                size = len(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError) as error:
                raise FormatError(f"the secret {name} of {app} is not base64") from error
            if size > LARGEST_SECRET:
                raise FormatError(f"the secret {name} of {app} has {size} bytes, at most {LARGEST_SECRET} can be")


def _shown(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text[:64])


def dump(value: Personal) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.encode(value, order="deterministic") + b"\n"


def load(text: bytes) -> Personal:
    """Read and judge a personal file. Raises FormatError."""
    if len(text) > LARGEST:
        raise FormatError("the personal file is far too large")
    try:
        found = msgspec.json.decode(text, type=Personal)
    except msgspec.MsgspecError as error:
        raise FormatError(f"the personal file cannot be read: {error}") from error
    return check(found)
