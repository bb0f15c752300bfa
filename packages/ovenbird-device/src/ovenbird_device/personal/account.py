"""The person's account, by the system's own tools (useradd(8), chpasswd(8)).

It lives in the slot's `/etc`, so each new system gets it anew: with the number of its home, and with the password that
it had in the other slot, should it have been changed there.
"""

import re
import subprocess
from pathlib import Path

from ..facts import boot
from ..format.personal import Account
from ..slots import files
from .places import Places

NUMBER = 3000
"""Of an account that is made here: apart from those that images number from 1000 on."""
_PATIENCE = 60.0
_HASH = re.compile(r"[!*]|\$[0-9a-z]{1,10}\$[./A-Za-z0-9$,=_-]{8,300}", re.ASCII)


class AccountError(Exception):
    """It could not be made; the message is for people."""


def entry(passwd: Path, name: str) -> list[str] | None:
    """The fields of an account's line in a file as passwd(5); None if there is none."""
    try:
        lines = passwd.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((line.split(":") for line in lines if line.startswith(f"{name}:")), None)


def make(places: Places, given: Account) -> list[str]:
    """Make the account, or give the one that the image has its password and groups. Returns what could not be done.

    Raises AccountError, OSError.
    """
    name = given.name
    troubles: list[str] = []
    if entry(places.etc / "passwd", name) is None:
        its = number(places, name)
        words = ["--create-home", "--user-group", "--no-log-init", "--uid", str(its), "--shell", "/bin/bash"]
        _run(places, "useradd", *words, name)
    if password := kept_password(places, name) or given.password:
        _run(places, "chpasswd", "--encrypted", feed=f"{name}:{password}\n")
    for group in given.groups:
        if entry(places.etc / "group", group) is None:
            troubles.append(f"there is no group {group} for {name}")
        else:
            _run(places, "usermod", "--append", "--groups", group, name)
    if given.sudo and (places.etc / "sudoers.d").is_dir():
        _sudo(places, name, asked=bool(given.password))
    return troubles


def number(places: Places, name: str) -> int:
    """The number for a new account: that of its home, if there is one from a system before."""
    try:
        found = (places.root / "home" / name).stat().st_uid
    except OSError:
        found = 0
    taken = (places.etc / "passwd").read_text("utf-8", "replace").splitlines()
    numbers = {line.split(":")[2] for line in taken if line.count(":") == 6}
    if 1000 <= found < 60000 and str(found) not in numbers:
        return found
    return next(free for free in range(NUMBER, 60000) if str(free) not in numbers)


def kept_password(places: Places, name: str) -> str:
    """The account's password in the slot that ran before this one; empty if it is not known."""
    here = boot.read_note(places.root / "run/ovenbird/boot").slot
    for slot in ("a", "b"):
        if here and slot != here:
            found = entry(places.data / "slots" / slot / "etc/shadow", name)
            if found is not None and len(found) > 1 and _HASH.fullmatch(found[1]):
                return found[1]
    return ""


def _sudo(places: Places, name: str, *, asked: bool) -> None:
    """Who has a password is asked for it; who has only keys could not answer."""
    path = places.etc / "sudoers.d/ovenbird-personal"
    files.publish(path, f"{name} ALL=(ALL:ALL) {'' if asked else 'NOPASSWD: '}ALL\n")
    path.chmod(0o440)


def _run(places: Places, program: str, *words: str, feed: str = "") -> None:
    where = ["--root", str(places.root)] if places.root != Path("/") else []
    command = [program, *where, *words]
    try:
        done = subprocess.run(command, input=feed, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except FileNotFoundError as error:
        raise AccountError(f"{program} is not in this image") from error
    except subprocess.TimeoutExpired as error:
        raise AccountError(f"{program} does not end") from error
    if done.returncode:
        raise AccountError(f"{program}: {(done.stderr.strip() or str(done.returncode))[-200:]}")
