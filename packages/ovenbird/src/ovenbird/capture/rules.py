"""What of a machine is taken: a list of lines that people can read, change and add to (`left-out.rules`).

The last line that fits a path counts, so that a line of the user's own, which comes later, always wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from ovenbird.errors import UsageError

DEFAULTS: Final = Path(__file__).with_name("left-out.rules")
FORGET: Final = "forget"
_PLACEHOLDER: Final = re.compile(r"\*\*|\*|\?")
_REGULAR: Final = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


class Word(StrEnum):
    """What a line says."""

    LEAVE = "leave"
    EMPTY = "empty"
    LOCK = "lock"
    TAKE = "take"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: a word and a pattern of absolute paths."""

    word: Word
    pattern: str

    @property
    def regular(self) -> str:
        """The pattern as a regular expression for exactly the paths that it names."""
        made = ""
        end = 0
        for place in _PLACEHOLDER.finditer(self.pattern):
            made += re.escape(self.pattern[end : place.start()]) + _REGULAR[place[0]]
            end = place.end()
        return made + re.escape(self.pattern[end:])

    def __str__(self) -> str:
        return f"{self.word} {self.pattern}"


@dataclass(frozen=True)
class Rules:
    """A whole list, in its order."""

    rules: tuple[Rule, ...]

    @cached_property
    def _decider(self) -> re.Pattern[str]:
        # Of several alternatives that fit, the first is taken: hence from the last line to the first.
        numbered = reversed(list(enumerate(self.rules)))
        alternatives = [f"(?P<r{number}>{rule.regular})(?P<b{number}>/.*)?" for number, rule in numbered]
        return re.compile("|".join(alternatives) or "(?!)", re.DOTALL)

    def judge(self, path: str, *, folder: bool, file: bool) -> Word:
        """What to do with an absolute path, which is a `folder`, a `file` with content, or neither."""
        match = self._decider.fullmatch(path)
        if match is None:
            return Word.TAKE
        number = next(int(name[1:]) for name, text in match.groupdict().items() if name[0] == "r" and text is not None)
        below = match[f"b{number}"] is not None
        match self.rules[number].word:
            case Word.EMPTY:
                if folder:
                    return Word.TAKE
                return Word.EMPTY if file and not below else Word.LEAVE
            case Word.LOCK:
                return Word.LOCK if file and not below else Word.TAKE
            case word:
                return word

    def lines(self) -> list[str]:
        """The list, one line a rule."""
        return [str(rule) for rule in self.rules]


def parse(text: str, where: str, before: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Read a list that follows the rules `before`. Raises UsageError with the line of what is wrong."""
    rules = list(before)
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, pattern = line.partition(" ")
        pattern = pattern.strip()
        place = f"{where}:{number}"
        if word == FORGET and not pattern:
            rules.clear()
        elif word not in set(Word):
            known = ", ".join([*Word, FORGET])
            raise UsageError(f'a line begins with one of {known}, not with "{word[:40]}"', where=place)
        elif not pattern.startswith("/") or pattern == "/":
            raise UsageError(
                f'"{pattern[:80]}" is no path below /', where=place, hint=f"write `{word} /the/path`, absolute"
            )
        elif "//" in pattern or pattern.endswith("/"):
            raise UsageError(
                f'"{pattern[:80]}" fits no path: it has a slash too many', where=place, hint="leave it out"
            )
        else:
            rules.append(Rule(Word(word), pattern))
    return tuple(rules)


def read_rules(own: Path | None = None) -> Rules:
    """The list that comes with Ovenbird, with the lines of a file of the user's behind it. Raises UsageError."""
    rules = parse(DEFAULTS.read_text(encoding="utf-8"), str(DEFAULTS))
    if own is not None:
        try:
            rules = parse(own.read_text(encoding="utf-8"), str(own), rules)
        except UnicodeDecodeError as error:
            raise UsageError("this is not UTF-8 text", where=str(own)) from error
        except FileNotFoundError as error:
            raise UsageError("there is no such file", where=str(own)) from error
        except IsADirectoryError as error:
            raise UsageError("is a folder, not a list", where=str(own)) from error
    return Rules(rules)


def lock_passwords(content: bytes) -> bytes:
    """A file like shadow(5) or gshadow(5) with `*`, which no password fits, in place of every hash of a password.

    An account that is locked stays as it is; so does a group without a password. One without a password becomes locked.
    """
    lines: list[bytes] = []
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 1 and not fields[1].startswith((b"!", b"*")):
            fields[1] = b"*"
        elif len(fields) > 1 and len(fields[1].lstrip(b"!*")):
            fields[1] = b"!*"
        lines.append(b":".join(fields))
    return b"\n".join(lines)
