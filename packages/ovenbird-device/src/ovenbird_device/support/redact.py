"""Takes secrets out of text that others wrote: logs, command lines, whatever programs print.

What is known to be a secret (the password's file, keys, apps' secrets) is never read for a support bundle. This is the
second line: values that are named as secrets, credentials in URLs and headers, private keys, and texts in the shape of
well-known tokens, of password hashes and of the passwords that devices make for themselves. Better too much than too
little: what is taken out leaves `[left out]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

GONE = "[left out]"

_NAME = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|psk|api[-_]?key|access[-_]?key|private[-_]?key|"
    r"credentials?|cookie|session[-_]?id|bearer"
)
_MEANS = r"(?:[:=]+>?|\bis\b|\bwas\b)"
_QUOTE = re.compile(r"\\*[\"']")
# Quoted (with as many backslashes as JSON inside JSON needs), or begun with a quote that never ends, or plain.
_VALUE = r"(?P<q>\\{0,9}[\"'])(?:\\.|(?!(?P=q)).){0,4000}?(?P=q)|\\{0,9}[\"'][^\s\"']+|[^\s,;&\"'\\<>]+"


def _named(match: re.Match[str]) -> str:
    """What is left of a named value: its quotes stay, so that JSON stays JSON."""
    quote = _QUOTE.match(match[2])
    mark = quote[0] if quote else ""
    return f"{match[1]}{mark}{GONE}{mark}"


# Repetitions are bounded wherever a line could be made to be read once for each of its characters.
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern, flags), kept)
    for pattern, flags, kept in (
        # Headers whose whole rest is the secret.
        (r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\\{0,9}[\"']?\s*[:=]\s*)[^\n]+", re.IGNORECASE, rf"\1\2{GONE}"),
        (r"\b(bearer|basic|digest|negotiate)\s+[\w+/=.~-]{8,}", re.IGNORECASE, rf"\1 {GONE}"),
        # name=value, "name": "value", name is value, --name value.
        (rf"((?:{_NAME})[\w.-]{{0,40}}\\{{0,9}}[\"']?\s*{_MEANS}\s*)({_VALUE})", re.IGNORECASE, _named),
        (rf"(?<![\w-])(--?[\w-]{{0,40}}?(?:{_NAME})[\w-]{{0,40}}\s+)({_VALUE})", re.IGNORECASE, _named),
        (r"(\b[a-z][a-z0-9+.-]{0,20}://)[^/\s@\"'?#]*:[^/\s@\"']*@", re.IGNORECASE, rf"\1{GONE}@"),
        (r"\beyJ[\w-]{8,4000}\.[\w-]{8,}(?:\.[\w-]*)?", 0, GONE),
        (r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|sk-|AKIA|ASIA|dckr_pat_)[\w-]{16,}", 0, GONE),
        (r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2id?|scrypt)\$[^\s:\"']{8,}", 0, GONE),
        # What `provision.password.generate` makes.
        (r"\b(?:[bdfghjklmnprstvwz][aeiou]){2}[bdfghjklmnprstvwz](?:-(?:[bdfghjklmnprstvwz][aeiou]){2}"
         r"[bdfghjklmnprstvwz]){2}\b", 0, GONE),
    )
)  # fmt: skip
_KEY_WHOLE = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----", re.DOTALL
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*", re.DOTALL)
_KEY_END = re.compile(r".*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----", re.DOTALL)
_LONGEST_KEY = 400
"""Lines after which a key that never ended is taken to be over."""


class Redactor:
    """Works through one text, piece by piece; a piece ends with a line."""

    def __init__(self) -> None:
        self._in_key = 0

    def clean(self, piece: str) -> str:
        """The piece without what looks like a secret."""
        return "".join(self._line(line) for line in piece.splitlines(keepends=True))

    def _line(self, line: str) -> str:
        ending = "\n" if line.endswith("\n") else ""
        if self._in_key:
            rest, ended = _KEY_END.subn("", line, count=1)
            self._in_key = 0 if ended or self._in_key >= _LONGEST_KEY else self._in_key + 1
            line = rest if ended else ""
            ending = ending if ended else ""
        line = _KEY_WHOLE.sub(GONE, line)
        line, began = _KEY_BEGIN.subn(GONE, line, count=1)
        if began:
            self._in_key, line = 1, line + ending
        for pattern, kept in _PATTERNS:
            line = pattern.sub(kept, line)
        return line if line.endswith(ending) else line + ending


def clean(text: str) -> str:
    """A whole text without what looks like a secret."""
    return Redactor().clean(text)
