"""From what a user said to the personal file: everything that can be a hash becomes one, and all is judged."""

from __future__ import annotations

import base64

from ovenbird.deliver.flash.settings import Device, Wifi, key_lines, numbered
from ovenbird.errors import UsageError
from ovenbird.run import run
from ovenbird_device.format import FormatError, personal
from ovenbird_device.network.settings import NetworkSettings
from ovenbird_device.personal.wifi import network_key
from ovenbird_device.provision import password

_KEY = 64


def make(device: Device, *, number: int = 1, name: str = "") -> personal.Personal:
    """The personal file of a device. `number` and `name` are for its host name. Raises UsageError."""
    hostname = numbered(device.hostname or "", number, name)
    secret = _text(device.password, "password")
    if secret is not None and (wrong := password.trouble(secret)):
        raise UsageError(wrong.rstrip("."))
    if device.user is None and (device.keys or device.password_hash or device.groups):
        raise UsageError("keys, groups and a password's hash need a user", hint="--user NAME, or `user` in the file")
    if not device.addresses and (device.gateway or device.dns):
        raise UsageError("a gateway and name servers go with a fixed address", hint="--address, or `addresses`")
    account = None
    if device.user is not None:
        account = personal.Account(
            name=device.user,
            password=device.password_hash or (crypted(secret) if secret is not None else ""),
            keys=tuple(key_lines(device)),
            sudo=device.sudo,
            groups=device.groups,
        )
    wifi = None
    if device.wifi or device.country:
        wifi = personal.Wifi(
            country=(device.country or "").upper(), networks=tuple(_network(one) for one in device.wifi)
        )
    address = None
    if device.addresses:
        gateways = (device.gateway,) if device.gateway else ()
        address = personal.Address(
            interface=device.interface,
            settings=NetworkSettings(addresses=device.addresses, gateways=gateways, dns=device.dns),
        )
    made = personal.Personal(
        hostname=hostname,
        password=None if secret is None else password.make(secret, "flashed"),
        account=account,
        wifi=wifi,
        address=address,
        locale=device.locale or "",
        timezone=device.timezone or "",
        server=device.server or "",
        secrets={
            app: {secret: base64.b64encode(value).decode() for secret, value in values.items()}
            for app, values in device.secrets.items()
        },
    )
    try:
        return personal.check(made)
    except FormatError as error:
        raise UsageError(str(error)) from error


def _network(given: Wifi) -> personal.WifiNetwork:
    secret = _text(given.passphrase, "passphrase") or ""
    if given.security == "wpa2" and 8 <= len(secret) < _KEY and secret.isascii():
        secret = network_key(given.ssid, secret)
    return personal.WifiNetwork(ssid=given.ssid, security=given.security, secret=secret, hidden=given.hidden)


def crypted(secret: str) -> str:
    """A password as crypt(5) has it (sha512crypt), which every Linux takes."""
    return run(["openssl", "passwd", "-6", "-stdin"], stdin=secret.encode() + b"\n").stdout.strip()


def _text(given: bytes | None, what: str) -> str | None:
    if given is None:
        return None
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} is not text") from error
