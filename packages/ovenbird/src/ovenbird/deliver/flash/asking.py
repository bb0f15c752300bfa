"""Questions on the terminal: what a user did not say, and whether a card may really be erased.

Nobody is asked where there is no terminal; what is missing there is an error that names the option.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from getpass import getpass
from pathlib import Path

from ovenbird.deliver.flash.cards import Card
from ovenbird.errors import UsageError

PASSPHRASE = "OVENBIRD_WIFI_PASSPHRASE"
"""The variable that may hold the passphrase of `--wifi`."""
PASSWORD = "OVENBIRD_PASSWORD"
"""The variable that may hold what `--password` asks for."""


def there_is_somebody() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def passphrase(ssid: str) -> str:
    """The passphrase of a network: from the environment, else from the user. Raises UsageError."""
    if given := os.environ.get(PASSPHRASE):
        return given
    if not there_is_somebody():
        raise UsageError(
            f'the passphrase of "{ssid}" is missing',
            hint=f"--wifi-passphrase-file FILE, or set {PASSPHRASE}; for a network without one: --wifi-security open",
        )
    return getpass(f'Passphrase of "{ssid}": ')


def password() -> str:
    """The device's new password: from the environment, else from the user, twice. Raises UsageError."""
    if given := os.environ.get(PASSWORD):
        return given
    if not there_is_somebody():
        raise UsageError("there is no terminal to ask on", hint=f"--password-file FILE, or set {PASSWORD}")
    from ovenbird.deliver.target import ask_new_password

    return ask_new_password()


def may_erase(card: Card) -> bool:
    """Whether the user agrees. Raises UsageError where nobody can be asked."""
    if not there_is_somebody():
        raise UsageError(f"everything on {card} would be lost", hint="--yes says that it may")
    return _line(f"Everything on {card} will be lost. Go on? [y/N] ").lower() in ("y", "yes")


def next_card(name: str) -> None:
    """Wait until another card is in. Raises UsageError where nobody can be asked."""
    if not there_is_somebody():
        raise UsageError("several cards need somebody who changes them", hint="--to makes several files")
    _line(f"Put in the card for {name}, then press Enter. ")


def which(names: Sequence[str]) -> str:
    """One of the devices of a file. Raises UsageError where nobody can be asked."""
    if not there_is_somebody():
        raise UsageError("which of the devices is it?", hint=f"--device {'|'.join(names[:8])}")
    print("\n".join(f"  {name}" for name in names), file=sys.stderr)
    return _line("Which device? ")


def everything(known: Mapping[str, object]) -> dict[str, object]:
    """All that can be said of a device but what is `known`; an empty answer leaves it as the image has it.

    Raises UsageError where nobody can be asked.
    """
    if not there_is_somebody():
        raise UsageError("there is no terminal to ask on", hint="leave --ask out, and say all by options or --devices")
    print("An empty answer leaves it as the image has it.", file=sys.stderr)
    said: dict[str, object] = {}
    if "hostname" not in known:
        said["hostname"] = _line("Host name: ")
    if "password" not in known and _line("Set the page's password now, too? [y/N] ").lower() in ("y", "yes"):
        said["password"] = password()
    if "user" not in known and (user := _line("User who may log in: ")):
        said["user"] = user
        said["keys"] = _keys()
    if "wifi" not in known and (ssid := _line("Wi-Fi network: ")):
        said["wifi"] = [{"ssid": ssid, "passphrase": passphrase(ssid)}]
        said["country"] = _line("Country of the device (two letters): ").upper()
    if "timezone" not in known:
        here = _zone()
        said["timezone"] = _line(f"Time zone [{here}]: " if here else "Time zone: ") or here
    if "addresses" not in known and (address := _line("Fixed address, as 192.168.1.7/24: ")):
        said["addresses"] = [address]
        said["gateway"] = _line("Gateway: ")
        said["dns"] = _line("Name servers: ").replace(",", " ").split()
    return {name: value for name, value in said.items() if value}


def _keys() -> list[str]:
    """The user's own public keys, if they want them there."""
    found = sorted((Path.home() / ".ssh").glob("id_*.pub"))
    proposal = str(found[0]) if found else ""
    answer = _line(f"Public SSH key [{proposal}]: " if proposal else "Public SSH key: ") or proposal
    return [answer] if answer else []


def _zone() -> str:
    """This machine's own time zone; empty if it cannot be told."""
    try:
        return str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2]
    except OSError:
        return ""


def _line(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("the input ended before the answer")
    return answer.strip()
