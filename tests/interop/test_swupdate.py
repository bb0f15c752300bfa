"""Debian's own `swupdate` verifies and installs what Ovenbird writes, byte for byte as a build makes it.

The bundle is not adapted: swupdate runs in a mount namespace in which the partitions that the bundle names are plain
files and `/boot/grub/grubenv` is the selector's first copy.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird.image.bundle import Facts, write_bundle
from ovenbird.keys.folder import Key, new_key, rotate_key
from ovenbird.keys.signing import find_signing
from ovenbird_device.format import cpio, selector
from ovenbird_device.format.selector import Slot, State

pytestmark = pytest.mark.interop
DEVICE = Path(__file__).with_name("swupdate_device.sh")
SIZE = 6 << 20
BEFORE = State(active=Slot.A, good=frozenset(Slot), attempts=5)


@dataclass(frozen=True, slots=True)
class Device:
    """Files that stand for a device's partitions and its selector."""

    folder: Path

    def install(self, bundle: Path, certificate: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run swupdate on this device."""
        command = ["swupdate", "-k", str(certificate), "-B", "grub", "-l", "5", "-v", *words, "-i", str(bundle)]
        rights = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        return subprocess.run(
            [*rights, "sh", str(DEVICE), str(self.folder), *command],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def partition(self, name: str) -> bytes:
        """The first bytes of a partition."""
        return (self.folder / "by-partlabel" / name).read_bytes()

    @property
    def state(self) -> State:
        """What the selector's first copy says."""
        return selector.decode_one((self.folder / "grub/grubenv").read_bytes())


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device that runs slot a."""
    folder = tmp_path / "device"
    for name in ("by-partlabel", "grub"):
        (folder / name).mkdir(parents=True)
    for part in ("boot", "root"):
        for slot in Slot:
            (folder / "by-partlabel" / f"{part}-{slot}").write_bytes(f"old {part} {slot}".encode().ljust(SIZE, b"."))
    (folder / "grub/grubenv").write_bytes(selector.encode(BEFORE))
    return Device(folder)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """A key as `ovenbird keys new` makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVENBIRD_KEYS", str(tmp_path_factory.mktemp("keys")))
        return new_key("updates")


@pytest.fixture
def images(tmp_path: Path) -> dict[str, bytes]:
    """A boot image that is mostly holes and a root image that is not."""
    content = {"boot": b"kernel" * 1000 + bytes(4 << 20), "root": os.urandom(5 << 20)}
    for name, one in content.items():
        (tmp_path / name).write_bytes(one)
    return content


@pytest.fixture
def bundle(tmp_path: Path, images: dict[str, bytes], key: Key, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of the images, signed by the key."""
    return write(tmp_path, key, monkeypatch)


def write(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch, name: str = "hello.swu") -> Path:
    monkeypatch.setenv("OVENBIRD_KEYS", str(key.private.parent))
    signing = find_signing([key.load()])
    assert signing is not None
    write_bundle(
        folder / name,
        facts=Facts("hello", "1.2.3", "vm", ("vm",), tries=3),
        boot=folder / "boot",
        root=folder / "root",
        sign=signing.sign,
        epoch=1_700_000_000,
        scratch=folder,
    )
    return folder / name


def test_it_verifies(device: Device, bundle: Path, key: Key) -> None:
    done = device.install(bundle, key.certificate, "-c", "-H", "ovenbird:vm", "-e", "stable,copy-2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert device.state == BEFORE


@pytest.mark.parametrize(("selection", "slot"), [("stable,copy-1", Slot.A), ("stable,copy-2", Slot.B)])
def test_it_installs_into_either_slot_and_arms_the_trial(
    device: Device, bundle: Path, key: Key, images: dict[str, bytes], selection: str, slot: Slot
) -> None:
    before = State(active=slot.other, good=frozenset(Slot))
    (device.folder / "grub/grubenv").write_bytes(selector.encode(before))
    done = device.install(bundle, key.certificate, "-H", "ovenbird:vm", "-e", selection)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("boot", "root"):
        assert device.partition(f"{part}-{slot}").startswith(images[part])
        assert device.partition(f"{part}-{slot.other}").startswith(f"old {part} {slot.other}".encode())
    assert device.state == before.arm(slot, 3)


def test_it_refuses_a_stranger_s(device: Device, bundle: Path, key: Key) -> None:
    other = rotate_key("updates")[1] if key.private.exists() else key
    done = device.install(bundle, other.certificate, "-H", "ovenbird:vm", "-e", "stable,copy-2")
    assert done.returncode != 0
    assert device.partition("root-b").startswith(b"old root b")
    assert device.state == BEFORE


def test_it_refuses_another_board_s(device: Device, bundle: Path, key: Key) -> None:
    done = device.install(bundle, key.certificate, "-H", "ovenbird:pc", "-e", "stable,copy-2")
    assert done.returncode != 0
    assert "not compatible" in (done.stdout + done.stderr).lower() or "not found" in (done.stdout + done.stderr).lower()
    assert device.partition("root-b").startswith(b"old root b")


@pytest.mark.parametrize("member", ["sw-description", "sw-description.sig", "boot.vfat.gz", "root.squashfs"])
def test_it_refuses_one_changed_byte_as_we_do(device: Device, bundle: Path, key: Key, member: str) -> None:
    raw = bytearray(bundle.read_bytes())
    with bundle.open("rb") as stream:
        content = next(one.all(1 << 30) for one in cpio.read(stream) if one.entry.name == member)
    raw[raw.index(content) + len(content) // 2] ^= 1
    changed = bundle.with_name("changed.swu")
    changed.write_bytes(raw)
    done = device.install(changed, key.certificate, "-H", "ovenbird:vm", "-e", "stable,copy-2")
    assert done.returncode != 0
    assert device.state == BEFORE
