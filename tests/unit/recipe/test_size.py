"""Sizes: what is read, what is refused and with which help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird.recipe.size import UNITS, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1K", 1024), ("64M", 64 << 20), ("512M", 512 << 20), ("2G", 2 << 30), ("1T", 1 << 40), ("0M", 0)],
)
def test_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("512MB", '"512M"'),
        ("512MiB", '"512M"'),
        ("512m", '"512M"'),
        ("512 M", '"512M"'),
        (" 512M", '"512M"'),
        ("1.5G", '"1536M"'),
        ("0.5M", '"512K"'),
        ("1024", '"1024M" for 1024 mebibytes'),
        ("", "a whole number"),
        ("big", "a whole number"),
        ("-1M", "a whole number"),
        ("1e3M", "a whole number"),
        ("٣M", "a whole number"),
        ("9" * 100 + "M", "a whole number"),
        ("M", "a whole number"),
    ],
)
def test_refused_with_help(text: str, spelling: str) -> None:
    with pytest.raises(ValueError, match="is not a size") as caught:
        parse_size(text)
    assert spelling in str(caught.value)


@given(st.integers(1, 10**12), st.sampled_from(sorted(UNITS)))
def test_format_is_the_inverse(number: int, unit: str) -> None:
    size = parse_size(f"{number}{unit}")
    assert size == number * UNITS[unit]
    assert parse_size(format_size(size)) == size
    assert len(format_size(size)) <= len(f"{number}{unit}")


@given(st.integers(0, 1 << 56))
def test_format_rounds_up_to_kibibytes(size: int) -> None:
    assert 0 <= parse_size(format_size(size)) - size < 1024


@given(st.text())
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert format_size(size)
