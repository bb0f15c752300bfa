"""What is written: the description's words, sizes, and what the step's key must know."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest

from ovenbird.errors import ImageError
from ovenbird.image import bundle as writing
from ovenbird.image.bundle import Facts, arming, write_bundle
from ovenbird_device.format import cpio, selector
from ovenbird_device.format.grubenv import dump, load
from ovenbird_device.format.selector import Slot, State

from .conftest import FACTS, Make, Owner


def members(raw: bytes) -> dict[str, bytes]:
    return {one.entry.name: one.all(1 << 30) for one in cpio.read(io.BytesIO(raw))}


def test_the_members_and_their_order(good: bytes, images: dict[str, bytes]) -> None:
    found = members(good)
    assert list(found) == ["sw-description", "sw-description.sig", "boot.vfat.gz", "root.squashfs"]
    assert gzip.decompress(found["boot.vfat.gz"]) == images["boot"]
    assert found["root.squashfs"] == images["root"]
    assert len(good) % 512 == 0


def test_the_description_s_words(make: Make) -> None:
    facts = Facts("hello", "2.0", "vm", ("station-2", "station-1"), "A device", tries=2)
    found = members(make(facts=facts))
    software = json.loads(found["sw-description"])["software"]
    assert software["version"] == "2.0"
    assert software["description"] == "A device"
    assert software["hardware-compatibility"] == ["station-2", "station-1"]
    for number, slot in ((1, "a"), (2, "b")):
        boot, root = software["stable"][f"copy-{number}"]["images"]
        assert boot["device"] == f"/dev/disk/by-partlabel/boot-{slot}"
        assert root["device"] == f"/dev/disk/by-partlabel/root-{slot}"
        assert (boot["compressed"], "compressed" in root) == ("zlib", False)
        assert boot["sha256"] == hashlib.sha256(found["boot.vfat.gz"]).hexdigest()
        assert root["sha256"] == root["ovenbird"]["sha256"] == hashlib.sha256(found["root.squashfs"]).hexdigest()
        assert root["ovenbird"]["size"] == len(found["root.squashfs"])


@pytest.mark.parametrize("slot", list(Slot))
@pytest.mark.parametrize("failed", [frozenset[Slot](), frozenset(Slot)])
def test_the_variables_arm_a_trial_whatever_was_before(slot: Slot, failed: frozenset[Slot]) -> None:
    before = State(active=slot.other, good=frozenset(Slot), failed=failed, attempts=4)
    variables = load(selector.encode(before)) | arming(slot, 3)
    assert selector.decode_one(dump(variables)) == before.arm(slot, 3)


def test_an_image_of_four_gibibytes_is_refused(tmp_path: Path, us: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boot").write_bytes(b"x")
    with (tmp_path / "root").open("wb") as stream:
        stream.truncate(1 << 32)
    monkeypatch.setattr(writing, "sha256_of", lambda file: "0" * 64)  # pyright: ignore - hashing zeros takes 10 s
    with pytest.raises(ImageError, match=r"root\.squashfs has 4 GiB or more"):
        write_bundle(
            tmp_path / "out",
            facts=FACTS,
            boot=tmp_path / "boot",
            root=tmp_path / "root",
            sign=us.sign,
            epoch=0,
            scratch=tmp_path,
        )
