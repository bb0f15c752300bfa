"""GRUB's environment block: our rules, GRUB's reading, and the real grub-editenv on the other side."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, grubenv

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,11}", fullmatch=True)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
variables = st.dictionaries(names, values, max_size=8)


@given(variables)
def test_round_trip(some: dict[str, str]) -> None:
    block = grubenv.dump(some)
    assert len(block) == grubenv.SIZE
    assert set(block[grubenv.DECIDING :]) == {ord("#")}
    assert block.count(b"# ") == 1 or any("# " in value for value in some.values())
    assert grubenv.load(block) == some


@given(st.binary(max_size=1100))
def test_noise_is_an_error(noise: bytes) -> None:
    with pytest.raises(FormatError):
        grubenv.load(noise)


@given(st.binary(min_size=999, max_size=999))
def test_noise_behind_a_signature_is_read_without_failing(noise: bytes) -> None:
    assert isinstance(grubenv.load(grubenv.SIGNATURE + noise), dict)


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ({"a b": "x"}, "not a name"),
        ({"a": ""}, "not empty"),
        ({"a": "x\ny"}, "printable"),
        ({"a": "x" * 600}, "all must"),
    ],
)
def test_what_other_programs_stumble_over_is_refused(some: dict[str, str], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        grubenv.dump(some)


def test_a_second_comment_line_and_unfinished_lines_are_read_as_grub_does() -> None:
    text = grubenv.SIGNATURE + b"# WARNING: Do not edit\na=1\nb=x\\\\y\nc=cut"
    assert grubenv.load(text.ljust(grubenv.SIZE, b"#")) == {"a": "1", "b": "x\\y"}


@pytest.mark.interop
def test_grub_editenv_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    file = tmp_path / "grubenv"
    file.write_bytes(grubenv.dump({"active": "a", "odd": "x\\y=z"}))
    listed = subprocess.run(["grub-editenv", file, "list"], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines() == ["active=a", "odd=x\\y=z"]
    subprocess.run(["grub-editenv", file, "set", "active=b", "more=1"], check=True)
    assert grubenv.load(file.read_bytes()) == {"active": "b", "odd": "x\\y=z", "more": "1"}
    subprocess.run(["grub-editenv", file, "create"], check=True)
    assert grubenv.load(file.read_bytes()) == {}
