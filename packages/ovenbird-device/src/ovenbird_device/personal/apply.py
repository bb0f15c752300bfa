"""What is done with a personal file: each part by itself, so that one that fails leaves the others be."""

import base64
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from ..format.personal import Account, Address, Personal, dump
from ..network import settings as network
from ..provision import password
from ..provision.console import escape
from ..slots import files
from . import account, wifi
from .account import AccountError
from .places import Places

Part = Callable[[], Iterable[str]]
"""One thing to do; returns what could not be done for good. Raises OSError, AccountError where it may later."""
_MATCH = {"wired": ("Type=ether", "Kind=!*"), "wifi": ("Type=wlan",)}


class Outcome(msgspec.Struct, frozen=True):
    """What could not be done, in words, and whether another boot should try again."""

    troubles: tuple[str, ...] = ()
    again: bool = False


def everything(places: Places, given: Personal) -> Outcome:
    """Apply all that has to be applied in this boot."""
    parts: list[tuple[str, Part]] = []
    if given.account is not None:
        who = given.account
        parts.append((f"the user {who.name}", lambda: account.make(places, who)))
    if not given.applied:
        parts += _once(places, given)
    troubles: list[str] = []
    again = False
    for what, part in parts:
        try:
            troubles += part()
        except (OSError, AccountError) as error:
            troubles.append(f"{what}: {error}")
            again = True
    return Outcome(tuple(troubles), again)


def _once(places: Places, given: Personal) -> Iterator[tuple[str, Part]]:
    """What the device keeps by itself from then on, and its owner may change; each with what it is in words."""
    who, radio, fixed, word = given.account, given.wifi, given.address, given.password
    if given.hostname:
        yield "the host name", lambda: set_hostname(places, given.hostname)
    if word is not None:
        yield "the password", lambda: _password(places, word)
    if who is not None and who.keys:
        yield "the SSH keys", lambda: _keys(places, who)
    if radio is not None:
        yield "the Wi-Fi", lambda: write_private(places.wifi, wifi.render(radio).encode())
    if fixed is not None:
        yield "the address", lambda: _address(places, fixed)
    if given.locale:
        yield "the locale", lambda: _locale(places, given.locale)
    if given.timezone:
        yield "the time zone", lambda: _timezone(places, given.timezone)
    if given.server:
        yield "the server", lambda: write_private(places.server, f"{given.server}\n".encode(), 0o644)
    if given.secrets:
        yield "the secrets", lambda: _secrets(places, given)


def set_hostname(places: Places, name: str) -> Iterable[str]:
    """The host name from now on: for the kernel, for the next boots, and for who looks it up here. Raises OSError."""
    files.publish(places.etc / "hostname", f"{name}\n")
    hosts = places.etc / "hosts"
    lines = hosts.read_text("utf-8", "replace").splitlines() if hosts.exists() else []
    lines = [f"127.0.1.1 {name}" if line.split()[:1] == ["127.0.1.1"] else line for line in lines]
    files.publish(hosts, "".join(f"{line}\n" for line in lines))
    if places.root == Path("/"):
        socket.sethostname(name)
    return ()


def _password(places: Places, kept: password.PasswordFile) -> Iterable[str]:
    state = places.file.parent
    password.write(state / password.FILE, kept, group=state.stat().st_gid)
    return ()


def _keys(places: Places, who: Account) -> Iterable[str]:
    files.publish(places.etc / "ovenbird/users" / f"{who.name}.keys", "".join(who.keys))
    return ()


def _address(places: Places, given: Address) -> Iterable[str]:
    """Settings of an interface go where its owner would change them, those of a kind of interfaces beside."""
    match = _MATCH.get(given.interface)
    folder = places.network if match else places.network.parent
    image = places.root / "usr/lib/systemd/network/80-ovenbird.network"
    text = image.read_text("utf-8", "replace") if image.exists() else ""
    files.publish(
        folder / f"{given.interface}.network",
        network.render(given.interface, given.settings, text, match or ()),
    )
    return ()


def _locale(places: Places, name: str) -> list[str]:
    charset = name.partition(".")[2].lower().replace("-", "")
    folders = (name, f"{name.partition('.')[0]}.{charset}")
    if name not in ("C.UTF-8", "C", "POSIX") and not any(
        (places.root / "usr/lib/locale" / one).is_dir() for one in folders
    ):
        return [f"this image has no locale {name}"]
    for file in ("locale.conf", "default/locale"):
        path = places.etc / file
        if path.parent.is_dir() and not path.is_symlink():
            files.publish(path, f"LANG={name}\n")
    return []


def _timezone(places: Places, name: str) -> list[str]:
    if not (places.root / "usr/share/zoneinfo" / name).is_file():
        return [f"this image has no time zone {name}"]
    aside = places.etc / ".localtime.new"
    aside.unlink(missing_ok=True)
    aside.symlink_to(f"../usr/share/zoneinfo/{name}")
    aside.replace(places.etc / "localtime")
    files.publish(places.etc / "timezone", f"{name}\n")
    return []


def _secrets(places: Places, given: Personal) -> Iterable[str]:
    for app, values in given.secrets.items():
        for name, value in values.items():
            write_private(places.secrets / app / name, base64.b64decode(value))
    return ()


def write_private(path: Path, content: bytes, mode: int = 0o600) -> Iterable[str]:
    """Replace a file as a whole, durably; a folder that it needs is for root alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.new")
    number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(number, "wb") as file:  # noqa: PTH123 - takes over the number, with the mode it was opened with
        os.fchmod(number, mode)
        file.write(content)
        file.flush()
        os.fsync(number)
    aside.replace(path)
    files.flush_folder(path.parent)
    return ()


def forget(places: Places, given: Personal) -> bytes:
    """Take out of the personal file what was done once, secrets above all; returns its new text. Raises OSError."""
    who = None if given.account is None else msgspec.structs.replace(given.account, keys=())
    text = dump(Personal(account=who, applied=True))
    write_private(places.file, text)
    return text


def mark(places: Places, digest: str) -> None:
    """Note in the slot's `/etc` which file it knows. Raises OSError."""
    files.publish(places.mark, f"{digest}\n")


def tell(places: Places, troubles: Sequence[str]) -> None:
    """What could not be done is shown before the login prompt. Raises OSError."""
    if not troubles:
        places.banner.unlink(missing_ok=True)
        return
    places.banner.parent.mkdir(parents=True, exist_ok=True)
    lines = ["", "  Not all that this card was flashed with could be done:"]
    lines += [f"  - {escape(trouble)}" for trouble in troubles]
    places.banner.write_text("\n".join([*lines, ""]))
