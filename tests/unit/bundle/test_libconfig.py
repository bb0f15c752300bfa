"""libconfig's text, as swugenerator and people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, libconfig

TEXT = r"""
/* a comment
   over lines */
software =
{
    version = "1.0"; # to the end
    name : "a" "b\n\"\x41\\" // joined
    hardware-compatibility: [ "1.0", "1.2" ];
    stable: { copy-1: { images: ( { filename = "x"; size = 12L; }, { on = TRUE; offset = 0x1F; } ); } }
    numbers = ( 1, -2, 0b101, 0o17, 1.5, -1e3, .5 ),
    empty = (); none = {}; off = false
}
"""


def test_everything_at_once() -> None:
    assert libconfig.load(TEXT) == {
        "software": {
            "version": "1.0",
            "name": 'ab\n"A\\',
            "hardware-compatibility": ["1.0", "1.2"],
            "stable": {"copy-1": {"images": [{"filename": "x", "size": 12}, {"on": True, "offset": 31}]}},
            "numbers": [1, -2, 5, 15, 1.5, -1000.0, 0.5],
            "empty": [],
            "none": {},
            "off": False,
        }
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('@include "/etc/passwd"', "line 1: @include"),
        ("a = 1; a = 2;", "given twice"),
        ("a", "`=` was expected"),
        ("a = ", "a value was expected"),
        ('a = "x', "not ended"),
        ('a = "\\q"', "unknown escape"),
        ('a = "\\', "unknown escape"),
        ("a = ( 1 2 )", "was expected"),
        ("a = [ 1,", "a value was expected"),
        ("a = { b = 1;", "a name was expected"),
        ("\n\na = {}}", "line 3: a name"),
        ("a = " + "(" * 100, "too deeply"),
        ("1 = 2", "a name was expected"),
        ("/* open", "a name was expected"),
        ("a = 99999999999999999999999", "a name was expected"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        libconfig.load(text)


scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in ("true", "false")
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def written(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list():
            return f"({', '.join(map(written, value))})"  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            return "{" + settings(value) + "}"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            raise AssertionError(value)


def settings(table: dict[str, object]) -> str:
    return " ".join(f"{name} = {written(value)};" for name, value in table.items())


@given(st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_read(table: dict[str, object]) -> None:
    assert libconfig.load(settings(table)) == table


@given(st.text(st.sampled_from('ab=:;,{}()[]"\\/*#\n 019.xLtruefals@'), max_size=60))
def test_noise_is_read_or_refused(text: str) -> None:
    try:
        libconfig.load(text)
    except FormatError as error:
        said = str(error)
        assert said.startswith("line ")
