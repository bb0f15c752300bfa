"""The words in which the model is written: a table of the recipe, and the common kinds of keys."""

from __future__ import annotations

from msgspec import Meta, Struct

from ovenbird.recipe import duration, rules
from ovenbird.recipe.duration import parse_duration
from ovenbird.recipe.size import PATTERN, parse_size


def text(description: str, rule: rules.Rule, *, example: str | None = None) -> Meta:
    """A text that a rule judges."""
    return Meta(description=description, examples=[example] if example else None, extra={"rule": rule})


def size(description: str, *, least: str, most: str) -> Meta:
    """A number of bytes, written as "512M"; whole mebibytes, because partitions are."""
    return Meta(
        description=f"{description} From {least} to {most}, in whole mebibytes.",
        extra={"read": "size", "least": parse_size(least), "most": parse_size(most)},
        extra_json_schema={"type": "string", "pattern": PATTERN},
    )


def time(description: str, *, least: str, most: str) -> Meta:
    """A time in seconds, written as "90s" or "5m"."""
    return Meta(
        description=f"{description} From {least} to {most}.",
        extra={"read": "duration", "least": parse_duration(least), "most": parse_duration(most)},
        extra_json_schema={"type": "string", "pattern": duration.PATTERN},
    )


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the recipe."""
