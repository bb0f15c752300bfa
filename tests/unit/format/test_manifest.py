"""manifest.json and image.json."""

from __future__ import annotations

import json

import pytest

from ovenbird_device.format import FormatError, manifest

IMAGE = manifest.Image("hello", "1.4.0", "vm", "amd64", compatible=("vm",))


def test_round_trip_and_equal_bytes() -> None:
    value = manifest.Manifest(
        image=IMAGE,
        recipe="0" * 64,
        epoch=1700000000,
        kernel="6.12.1-amd64",
        outputs={"root.squashfs": manifest.File(5, "a" * 64), "disk.img": manifest.File(6, "b" * 64)},
        packages=(manifest.Package("bash", "5.2", "amd64"),),
        steps=(manifest.Step("base", "k1"),),
    )
    text = manifest.dump(value)
    assert manifest.load_manifest(text) == value
    assert list(json.loads(text)["outputs"]) == ["disk.img", "root.squashfs"]
    assert text.endswith(b"}\n")


def test_a_device_reads_the_description_of_a_newer_image() -> None:
    text = manifest.dump(IMAGE).replace(b'"name"', b'"new": 1, "name"')
    assert manifest.load_image(text) == IMAGE


@pytest.mark.parametrize("text", [b"", b"[]", b'{"name": 1}', b"\xff"])
def test_damage_is_an_error(text: bytes) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        manifest.load_image(text)
