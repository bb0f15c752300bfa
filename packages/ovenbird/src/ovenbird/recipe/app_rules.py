"""What a single text of an `[[app]]` may look like. The rules are as in `rules.py`."""

from __future__ import annotations

import re
from typing import Final

from ovenbird.recipe.rules import Complaint, unit

NAME_LIMIT: Final = 28  # A user's name has at most 32 characters, and the app's own is "app-NAME".
_NAME: Final = re.compile(rf"[a-z](?:[a-z0-9-]{{0,{NAME_LIMIT - 2}}}[a-z0-9])?")
_PYTHON_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED: Final = rf"{_PYTHON_NAME}(?:\.{_PYTHON_NAME})*"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def name(text: str) -> Complaint | None:
    """An app's name: part of a unit's, a user's and a folder's name."""
    if _NAME.fullmatch(text):
        return None
    good = re.sub(r"[^a-z0-9]+", "-", text.lower())[:NAME_LIMIT].strip("-")
    return Complaint(
        f'"{text[:80]}" is no name for an app: a lower-case letter, then letters, digits and "-", '
        f'at most {NAME_LIMIT}, not "-" at the end',
        f'write "{good}"' if _NAME.fullmatch(good) else None,
    )


def entry(text: str) -> Complaint | None:
    """`MODULE:FUNCTION`."""
    if re.fullmatch(rf"{_DOTTED}:{_DOTTED}", text):
        return None
    hint = f'for a module, write `module = "{text}"`' if re.fullmatch(_DOTTED, text) else 'write "MODULE:FUNCTION"'
    return Complaint(f'"{text[:80]}" is no function of a module', hint)


def module(text: str) -> Complaint | None:
    """A module's dotted name."""
    if re.fullmatch(_DOTTED, text) and not text.endswith(".py"):
        return None
    hint = None
    if re.fullmatch(rf"{_DOTTED}:{_DOTTED}", text):
        hint = f'for a function, write `entry = "{text}"`'
    elif text.endswith(".py"):
        hint = f'for a file, write `script = "{text}"`'
    return Complaint(f'"{text[:80]}" is no module', hint)


def script(text: str) -> Complaint | None:
    """The name of an installed command, or a path inside of the project's folder."""
    if re.fullmatch(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*", text) and ".." not in text.split("/"):
        return None
    return Complaint(f'"{text[:80]}" is neither a command nor a file inside of the project\'s folder')


def sha256(text: str) -> Complaint | None:
    """A digest in hexadecimal digits."""
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return None
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return Complaint("a digest is written in lower-case letters", f'write "{text.lower()}"')
    return Complaint(f"a sha256 has 64 hexadecimal digits, and this is something else ({len(text)} characters)")


def secret(text: str) -> Complaint | None:
    """A secret's name: that of a file."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
        return None
    if "=" in text:
        return Complaint(
            "only the name of a secret goes into a recipe, its value is given on the device",
            f'write "{text.partition("=")[0][:64]}"',
        )
    return Complaint(f'"{text[:80]}" is no name for a secret: use letters, digits and _ . -, at most 64')


def user(text: str) -> Complaint | None:
    """The name of a user or group, as useradd(8) has it."""
    if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text):
        return None
    hint = f'write "{text.lower()}"' if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text.lower()) else None
    return Complaint(f'"{text[:80]}" is no name of a user or group', hint)


def device(text: str) -> Complaint | None:
    """A device file."""
    if re.fullmatch(r"/dev/[A-Za-z0-9_.:+-]+(/[A-Za-z0-9_.:+-]+)*", text) and ".." not in text.split("/"):
        return None
    good = f"/dev/{text.removeprefix('dev/').strip('/')}"
    near = re.fullmatch(r"/dev/[A-Za-z0-9]+", good)
    return Complaint(f'"{text[:80]}" is no device file', f'write "{good}"' if near else 'write "/dev/NAME"')


def after(text: str) -> Complaint | None:
    """An app, or a unit of systemd."""
    if _NAME.fullmatch(text) or unit(text) is None:
        return None
    return Complaint(f'"{text[:80]}" is neither an app nor a unit of systemd', 'a unit is written as "NAME.service"')


def variable(text: str) -> Complaint | None:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(text):
        return Complaint(f'"{text[:80]}" is no name of a variable: use letters, digits and "_"')
    if text.startswith("OVENBIRD_"):
        return Complaint(f"`{text[:80]}` is set by Ovenbird: names that begin with OVENBIRD_ are its own")
    return None


def word(text: str) -> Complaint | None:
    """One argument, or the value of a variable: any text of one line, as it must fit a line of a unit."""
    if len(text) > 4000:
        return Complaint(f"this has {len(text)} characters, but at most 4000 are possible")
    if all(sign.isprintable() or sign == "\t" for sign in text):
        return None
    return Complaint("this is one line, without line breaks and control characters")


def target(text: str) -> Complaint | None:
    """Where a file goes: a path in the image, or one in the app's own folder."""
    if not re.fullmatch(r"/?[A-Za-z0-9._@:+,=%~-]+(/[A-Za-z0-9._@:+,=%~-]+)*", text):
        return Complaint(
            f'"{text[:80]}" is no plain path: use letters, digits and ._@:+,=%~-, without a "/" at the end'
        )
    if {".", ".."} & set(text.split("/")):
        return Complaint(f'"{text[:80]}" is no plain path: it may not contain "." or ".."')
    for living in ("/data", "/dev", "/proc", "/run", "/sys", "/tmp", "/boot", "/usr/lib/ovenbird"):
        if text == living or text.startswith(living + "/"):
            return Complaint(
                f"{text[:80]} is no place for a file of an app: "
                + ("it belongs to Ovenbird" if living.endswith("ovenbird") else "it is not part of the image")
            )
    return None
