"""A log as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec

from ...logs.line import Line
from ...logs.query import LEVELS
from ...logs.reader import Page

_TONES = {0: "worst", 1: "worst", 2: "worst", 3: "worst", 4: "bad", 7: "faint"}
_CHOICES = (
    ("", "everything"),
    ("info", "information"),
    ("notice", "notices"),
    ("warning", "warnings"),
    ("err", "errors"),
)
_BOOTS = (("", "all boots"), ("0", "this boot"), ("-1", "the boot before"))


class Row(msgspec.Struct, frozen=True):
    """One line."""

    cursor: str
    stamp: str
    """ISO 8601 in UTC."""
    shown: str
    tone: str
    level: str
    source: str
    text: str


class LogView(msgspec.Struct, frozen=True):
    """The lines and the form above them."""

    path: str
    rows: tuple[Row, ...]
    older: str
    """Where older lines are; empty without any."""
    newest: str
    """Where the newest lines are, if these are not; empty if they are."""
    stream: str
    """Where lines come in as they are written; empty for a boot that is over, and for pages of older lines."""
    file: str
    level: str
    boot: str
    text: str
    levels: tuple[tuple[str, str], ...]
    boots: tuple[tuple[str, str], ...]
    trouble: str

    @classmethod
    def of(cls, path: str, values: Mapping[str, str], page: Page, trouble: str = "") -> LogView:
        """The view of a page of lines, asked for by a URL's parameters."""
        asked = {name: values[name][:200] for name in ("level", "boot", "text") if values.get(name)}
        back = bool(values.get("before"))
        boot = asked.get("boot", "")
        after = {"after": page.lines[-1].cursor} if page.lines else {}
        live = not back and not trouble and boot in ("", "0")
        return cls(
            path=path,
            rows=tuple(_row(line) for line in page.lines),
            older=_url(path, asked | {"before": page.before}) if page.more else "",
            newest=_url(path, asked) if back else "",
            stream=_url(path, asked | after) if live else "",
            file=_url(f"{path}.txt", asked),
            level=asked.get("level", ""),
            boot=boot,
            text=asked.get("text", ""),
            levels=_CHOICES,
            boots=_BOOTS,
            trouble=trouble,
        )


def _url(path: str, values: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(values)}" if values else path


def _row(line: Line) -> Row:
    when = datetime.fromtimestamp(min(max(line.time / 1e6, 0), 253e9), UTC)
    return Row(
        cursor=line.cursor,
        stamp=when.isoformat(timespec="milliseconds"),
        shown=f"{when:%b %d %H:%M:%S}",
        tone=_TONES.get(line.level, ""),
        level=LEVELS[line.level],
        source=line.source,
        text=line.text,
    )
