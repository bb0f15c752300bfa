"""Writes Prometheus' text format (version 0.0.4): families of samples with labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["gauge", "counter"]


class Exposition:
    """Collects families in order; a family without samples is left out."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self, name: str, kind: Kind, text: str, samples: Iterable[tuple[Mapping[str, str], float | int | None]]
    ) -> None:
        """A family; samples of None are left out."""
        known = [(labels, value) for labels, value in samples if value is not None]
        if not known:
            return
        self._lines += [f"# HELP {name} {_escape(text)}", f"# TYPE {name} {kind}"]
        for labels, value in known:
            pairs = ",".join(f'{key}="{_quote(word)}"' for key, word in labels.items())
            self._lines.append(f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}")

    def one(self, name: str, kind: Kind, text: str, value: float | int | None) -> None:
        """A family of one sample without labels."""
        self.add(name, kind, text, [({}, value)])

    def text(self) -> str:
        """All of it."""
        return "".join(f"{line}\n" for line in self._lines)


def _number(value: float | int) -> str:
    return str(int(value)) if isinstance(value, int) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"')
