"""What a description may say, in both of its languages, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.format import FormatError, description
from ovenbird_device.format.selector import Slot

DIGEST = "0" * 64


def image(part: str, slot: str, **more: object) -> dict[str, Any]:
    device = f"/dev/disk/by-partlabel/{part}-{slot}"
    return {"filename": f"{part}.img", "device": device, "type": "raw", "sha256": DIGEST, **more}


def both(slot: str, **more: object) -> dict[str, Any]:
    return {"images": [image("boot", slot), image("root", slot)], **more}


def text(**more: object) -> bytes:
    software: dict[str, Any] = {
        "version": "1.0",
        "hardware-compatibility": ["vm"],
        "stable": {"copy-1": both("a"), "copy-2": both("b")},
    }
    return json.dumps({"software": {**software, **more}}).encode()


def test_each_slot_has_its_selection() -> None:
    described = description.load(text(description="A device", ovenbird={"name": "hello", "board": "vm"}))
    assert (described.version, described.name, described.board) == ("1.0", "hello", "vm")
    assert described.description == "A device"
    assert described.for_slot(Slot.A).name == "stable,copy-1"
    assert [image.target for image in described.for_slot(Slot.B).images] == [("boot", Slot.B), ("root", Slot.B)]


def test_libconfig_says_the_same() -> None:
    written = """
    software = {
      version = "1.0";
      hardware-compatibility: [ "vm" ];
      vm: { release: { main: { images: (
        { filename = "k"; device = "/dev/disk/by-partlabel/boot-b"; sha256 = "%s"; compressed = "zlib"; },
        { filename = "r"; device = "/dev/disk/by-partlabel/root-b"; sha256 = "%s"; }
      ); }; }; };
    }
    """
    described = description.load((written % (DIGEST, DIGEST)).encode())
    selection = described.for_slot(Slot.B)
    assert selection.name == "vm,release,main"
    assert [image.compressed for image in selection.images] == ["zlib", ""]
    with pytest.raises(FormatError, match="no images for /dev/disk/by-partlabel/boot-a"):
        described.for_slot(Slot.A)


@pytest.mark.parametrize(
    ("entry", "revision", "fits"),
    [
        ("vm", "vm", True),
        ("vm", "vm-arm64", False),
        ("#RE:^vm(-arm64)?$", "vm-arm64", True),
        ("#RE:^vm$", "vm-arm64", False),
        ("#RE:(", "(", False),
    ],
)
def test_for_which_machines(entry: str, revision: str, *, fits: bool) -> None:
    described = description.load(text(**{"hardware-compatibility": ["other", entry]}))
    assert described.fits(["first", revision]) is fits


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"scripts": [{"filename": "x.lua", "type": "lua"}]}, "wants scripts"),
        ({"files": [{"filename": "x", "path": "/x"}]}, "wants files"),
        ({"images": [image("boot", "b"), image("root", "b", type="ubivol")]}, "the handler ubivol"),
        ({"images": [image("boot", "b"), image("root", "b", compressed="zstd")]}, "the compression zstd"),
        ({"images": [image("boot", "b"), image("root", "b", encrypted=True)]}, "decryption"),
        ({"images": [image("boot", "b"), image("root", "b", offset="4M")]}, "at an offset"),
        ({"images": [image("boot", "b"), image("root", "b"), image("root", "b", filename="x")]}, "one partition twice"),
        ({"images": [image("boot", "b", filename="x"), image("root", "b", filename="x")]}, "one file for two"),
        ({"images": [image("boot", "b"), image("root", "a")]}, "no images for"),
        ({"images": [image("boot", "b"), image("root", "b"), image("root", "b", device="/dev/sda")]}, "no images for"),
        (
            {"images": [image("boot", "b"), image("root", "b", device="/dev/disk/by-partlabel/root-b/../x")]},
            "no images",
        ),
    ],
)
def test_what_would_do_more_than_fill_a_slot_is_refused(wish: dict[str, Any], said: str) -> None:
    described = description.load(text(stable={"copy-1": both("a"), "copy-2": {**both("b"), **wish}}))
    assert described.for_slot(Slot.A).name == "stable,copy-1"
    with pytest.raises(FormatError, match=said):
        described.for_slot(Slot.B)


def test_two_selections_for_one_slot_are_refused() -> None:
    described = description.load(text(stable={"copy-1": both("a"), "copy-2": both("a")}))
    with pytest.raises(FormatError, match="more than one selection for slot a"):
        described.for_slot(Slot.A)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "software is missing"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"{}", "software is missing"),
        (b'{"software": 1}', "software is not a group"),
        (b'{"software": {}}', "has no images"),
        (b"[" * 100_000, "a name was expected"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"a" * (1 << 20) + b"a", "at most 1048576"),
        (text(version=1), "software.version is not one line"),
        (text(version=" "), "software.version is empty"),
        (text(version="1\n2"), "software.version is not one line"),
        (text(**{"hardware-compatibility": ()}), "for which machines"),
        (text(**{"hardware-compatibility": "vm"}), "not a list"),
        (text(**{"hardware-compatibility": [1]}), "for which machines"),
        (text(stable={"x": {"ref": "#./y"}}), "refers to another"),
        (text(stable={"x": {"images": [image("boot", "a", sha256="00")]}}), "not a SHA-256"),
        (text(stable={"x": {"images": [image("boot", "a", filename="../x")]}}), "unsafe file name"),
        (text(stable={"x": {"images": [image("boot", "a", ovenbird={"size": -1})]}}), "not a number of bytes"),
        (text(stable={"x": {"images": [image("boot", "a", ovenbird={"sha256": 1})]}}), "not a SHA-256"),
        (text(stable={"x": {"images": [1]}}), "is not a group"),
        (text(stable={"x": {"images": [image("boot", "a")] * 33}}), "too many images"),
        (text(stable={str(n): both("a") for n in range(33)}), "too many selections"),
        (text(a={"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}), "nested too deeply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "raw",
)
def test_what_is_wrong_is_told(raw: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        description.load(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["version", "stable", "images", "hardware-compatibility", "x"]), json_values))
def test_any_software_is_read_or_refused(software: dict[str, object]) -> None:
    raw = json.dumps({"software": {"version": "1", "hardware-compatibility": ["x"], "a": both("a"), **software}})
    try:
        described = description.load(raw.encode())
    except FormatError:
        return
    described.fits(["vm"])
    for slot in Slot:
        try:
            selection = described.for_slot(slot)
        except FormatError:
            continue
        assert {image.target for image in selection.images} == {("boot", slot), ("root", slot)}
