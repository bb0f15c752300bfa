"""Bundles that others make, by swugenerator and by hand with openssl and cpio, are taken as our own."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ovenbird.errors import ImageError
from ovenbird.image.reading.bundle import inspect_bundle, verify_bundle
from ovenbird.keys.folder import Key, new_key
from ovenbird_device.format import bundle
from ovenbird_device.format.selector import Slot
from ovenbird_device.update.signature import SignatureError, verifier, verify
from tests.unit.bundle.conftest import install, owner

pytestmark = pytest.mark.interop
IMAGES = {"boot": b"a kernel" * 4000, "root": bytes(range(256)) * 900}


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    """A key as `ovenbird keys new` makes it."""
    monkeypatch.setenv("OVENBIRD_KEYS", str(tmp_path / "keys"))
    return new_key("updates")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the two images."""
    for name, content in IMAGES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


DESCRIPTION = """
software =
{
    version = "2.0";
    hardware-compatibility: [ "vm", "#RE:^station-[0-9]+$" ];
    stable = {
        copy-1: { images: (
            { filename = "boot"; device = "/dev/disk/by-partlabel/boot-a"; type = "raw"; %(boot)s },
            { filename = "root"; device = "/dev/disk/by-partlabel/root-a"; type = "raw"; %(root)s }
        ); };
        copy-2: { images: (
            { filename = "boot"; device = "/dev/disk/by-partlabel/boot-b"; type = "raw"; %(boot)s },
            { filename = "root"; device = "/dev/disk/by-partlabel/root-b"; type = "raw"; %(root)s }
        ); };
    };
}
"""


def generated(folder: Path, key: Key, fields: dict[str, str]) -> Path:
    """A bundle by swugenerator, which computes the digests and compresses what the template says."""
    (folder / "sw-description.in").write_text(DESCRIPTION % fields)
    out = folder / "generated.swu"
    subprocess.run(
        [
            Path(sys.executable).with_name("swugenerator"), "-k", f"CMS,{key.private},{key.certificate}",
            "-s", folder / "sw-description.in", "-a", folder, "-o", out, "create",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return out


@pytest.mark.parametrize("compressed", ["", 'compressed = "zlib";'])
def test_swugenerator_s(folder: Path, key: Key, compressed: str) -> None:
    plain = 'sha256 = "@";'
    out = generated(folder, key, {"boot": f"{plain} {compressed}", "root": plain})
    raw = out.read_bytes()
    trusting = verifier([key.certificate.read_text()])
    for slot in Slot:
        assert install(raw, trusting, slot) == IMAGES
    described = bundle.open_bundle(io.BytesIO(raw), trusting).description
    assert described.version == "2.0"
    assert described.fits(["station-7"])
    assert not described.fits(["station-x"])
    assert verify_bundle(out, [key.certificate.read_text()]).version == "2.0"
    assert [choice.name for choice in inspect_bundle(out).selections] == ["stable,copy-1", "stable,copy-2"]


def by_hand(folder: Path, key: Key, *, form: str = "crc", packed: bool = False) -> bytes:
    """As SWUpdate's manual tells it: write the description, sign it by openssl, pack with cpio."""
    files = dict(IMAGES)
    if packed:
        squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
        files["boot"] = squeezer.compress(IMAGES["boot"]) + squeezer.flush()
        (folder / "boot").write_bytes(files["boot"])
    fields = {name: f'sha256 = "{hashlib.sha256(content).hexdigest()}";' for name, content in files.items()}
    fields["boot"] += ' compressed = "zlib";' if packed else ""
    (folder / "sw-description").write_text(DESCRIPTION % fields)
    subprocess.run(
        [
            "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer",
            key.certificate, "-inkey", key.private, "-outform", "DER", "-nosmimecap", "-binary",
        ],
        cwd=folder, check=True,
    )  # fmt: skip
    names = "sw-description\nsw-description.sig\nboot\nroot\n"
    done = subprocess.run(
        ["cpio", "-o", "-H", form, "--quiet"], cwd=folder, input=names.encode(), capture_output=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("form", ["crc", "newc"])
@pytest.mark.parametrize("packed", [False, True])
def test_by_hand(folder: Path, key: Key, form: str, *, packed: bool) -> None:
    raw = by_hand(folder, key, form=form, packed=packed)
    assert install(raw, verifier([key.certificate.read_text()]), Slot.B) == IMAGES


def test_by_a_stranger_s_hand(folder: Path, key: Key) -> None:
    raw = by_hand(folder, new_key("stranger"))
    with pytest.raises(SignatureError, match="stranger"):
        install(raw, verifier([key.certificate.read_text()]))
    (folder / "x.swu").write_bytes(raw)
    with pytest.raises(ImageError, match="stranger"):
        verify_bundle(folder / "x.swu", [key.certificate.read_text()])


def test_every_byte_of_the_signed_part_matters() -> None:
    """Each byte of a description is changed, and each of its signature, and the real openssl judges.

    A changed description is never taken. A signature may have bytes that nobody looks at (its copy of the certificate
    says nothing that the device does not know): then the description is still the one that was signed.
    """
    us = owner("updates")
    text = b'{"software": {"version": "1.0", "hardware-compatibility": ["vm"]}}'
    signature = us.sign(text)
    for position in range(len(text)):
        changed = bytearray(text)
        changed[position] ^= 1 << position % 8
        with pytest.raises(SignatureError):
            verify(bytes(changed), signature, [us.pem])
    refused = 0
    for position in range(len(signature)):
        mangled = bytearray(signature)
        mangled[position] ^= 1 << position % 8
        try:
            assert verify(text, bytes(mangled), [us.pem])
        except SignatureError:
            refused += 1
    assert refused > len(signature) * 0.9


def test_our_certificates_hold_in_1970_for_those_who_look(folder: Path, key: Key) -> None:
    """Our verifier looks at no times; the real swupdate does, on a device whose clock begins in 1970."""
    by_hand(folder, key)
    subprocess.run(
        [
            "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "sw-description.sig", "-content",
            "sw-description", "-attime", "1", "-CAfile", key.certificate, "-out", "/dev/null",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
