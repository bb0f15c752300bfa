"""libconfig's text format: what other tools, swugenerator among them, write a bundle's description in.

Grammar: libconfig manual, "Configuration File Grammar". A setting is `name = value` (or `:`), ended by `;`, `,` or
nothing; values are groups `{}`, lists `()`, arrays `[]`, texts, numbers and booleans. Read into the same plain values
that JSON gives. `@include` is refused: a description is one signed text and names no files. What is ambiguous, such as
a name that is given twice, is refused as well, so that no two readers can take it for different things.
"""

from __future__ import annotations

import re

from ovenbird_device.format import FormatError

DEEPEST = 32
Value = str | int | float | bool | dict[str, "Value"] | list["Value"]

_BLANK = re.compile(r"(?:[ \t\r\n\f]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z*][A-Za-z0-9_*-]*")
_BOOLEAN = re.compile(r"(?i:true|false)(?![A-Za-z0-9_*-])")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9A-Fa-f]{1,16}|0[bB][01]{1,64}|0[oO][0-7]{1,22}|[0-9]{1,20})L{0,2}")
_PLAIN = re.compile(r'[^"\\]*')
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t", "f": "\f", "a": "\a", "b": "\b", "v": "\v"}


def load(text: str) -> dict[str, Value]:
    """The settings of a text. FormatError says what is wrong and in which line."""
    return _Reader(text).settings("", 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def wrong(self, message: str) -> FormatError:
        line = self.text.count("\n", 0, self.at) + 1
        return FormatError(f"line {line}: {message}")

    def peek(self) -> str:
        """The next character that counts; empty at the end."""
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> bool:
        if self.peek() and self.peek() in wanted:
            self.at += 1
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def settings(self, end: str, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while (character := self.peek()) != end:
            name = self.match(_NAME)
            if name is None:
                raise self.wrong("@include is not allowed" if character == "@" else "a name was expected")
            if name[0] in found:
                raise self.wrong(f"`{name[0]}` is given twice")
            if not self.take("=:"):
                raise self.wrong(f"`=` was expected behind `{name[0]}`")
            found[name[0]] = self.value(depth + 1)
            self.take(";,")
        self.at += len(end)
        return found

    def value(self, depth: int) -> Value:
        if depth > DEEPEST:
            raise self.wrong("values are nested too deeply")
        match self.peek():
            case "{":
                self.at += 1
                return self.settings("}", depth)
            case "(":
                return self.items(")", depth)
            case "[":
                return self.items("]", depth)
            case '"':
                return self.string()
            case _:
                return self.scalar()

    def items(self, end: str, depth: int) -> list[Value]:
        self.at += 1
        found: list[Value] = []
        while not self.take(end):
            found.append(self.value(depth + 1))
            if not self.take(",") and self.peek() != end:
                raise self.wrong(f"`,` or `{end}` was expected")
        return found

    def string(self) -> str:
        parts: list[str] = []
        while self.take('"'):  # Texts that follow each other are one.
            while not self.text.startswith('"', self.at):
                plain = self.match(_PLAIN)
                parts.append(plain[0] if plain else "")
                if self.at >= len(self.text):
                    raise self.wrong("a text is not ended")
                if self.text[self.at] == "\\":
                    parts.append(self.escape())
            self.at += 1
        return "".join(parts)

    def escape(self) -> str:
        follows = self.text[self.at + 1 : self.at + 2]
        if follows == "x" and re.fullmatch(r"[0-9A-Fa-f]{2}", digits := self.text[self.at + 2 : self.at + 4]):
            self.at += 4
            return chr(int(digits, 16))
        if follows not in _ESCAPES or not follows:
            raise self.wrong("an unknown escape in a text")
        self.at += 2
        return _ESCAPES[follows]

    def scalar(self) -> Value:
        if found := self.match(_BOOLEAN):
            return found[0].lower() == "true"
        if found := self.match(_FLOAT):
            return float(found[0])
        if found := self.match(_INTEGER):
            digits = found[2]
            base = {"x": 16, "b": 2, "o": 8}.get(digits[1:2].lower(), 10)
            value = int(digits[2:] if base != 10 else digits, base)
            return -value if found[1] == "-" else value
        raise self.wrong("a value was expected")
