"""A small device in files, for tests of updates: a real disk image, real signed bundles, the device's own code.

Nothing here stands in for anything: GRUB's `select`, the layout and the bundles come from the workstation's own code;
only the images are small, and the root is noise instead of a squashfs, because nothing here mounts it.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ovenbird.image.boot import write_boot
from ovenbird.image.bundle import Facts, write_bundle
from ovenbird.image.disk import write_disk
from ovenbird.image.grub import bios_code, write_select
from ovenbird.image.layout import MIB, Layout, plan
from ovenbird.keys.certificates import pem
from ovenbird.keys.cms import signed_data
from ovenbird.keys.folder import self_signed
from ovenbird.keys.signing import sign_with
from ovenbird_device.format import manifest
from ovenbird_device.format.selector import Slot
from ovenbird_device.slots import disk as disks
from ovenbird_device.slots.kind import GRUB as KIND
from ovenbird_device.slots.manage import Slots
from ovenbird_device.update.installer import Terms

GRUB = Path("/usr/lib/grub")
EPOCH = 1700000000
SELECT = 8 * MIB
BOOT = 4 * MIB
ROOT = 2 * MIB


@dataclass(frozen=True)
class Signer:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate's text, as a device has it."""
        return pem(self.certificate)

    def sign(self, data: bytes) -> bytes:
        """The detached signature."""
        return signed_data(self.certificate, sign_with(self.key, data))


@cache
def signer(name: str = "ours") -> Signer:
    """A signer, the same one for the same name within a run. The short key is for speed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Signer(key, self_signed(key, name))


@dataclass(frozen=True)
class System:
    """The images of one version, and what they are made of."""

    version: str
    boot: Path
    root: Path
    bundle: Path

    @property
    def hash(self) -> str:
        """What the boot image says about the root."""
        return "sha256:" + hashlib.sha256(self.root.read_bytes()).hexdigest()


def system(
    folder: Path,
    version: str,
    *,
    by: Signer | None = None,
    compatible: tuple[str, ...] = ("vm",),
    boot_size: int = BOOT,
    root_size: int = ROOT - 300 * 1024,
) -> System:
    """Make the images and the bundle of a version; its content follows from the version's text."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = random.Random(version)
    root, boot, bundle = folder / f"root-{version}", folder / f"boot-{version}", folder / f"{version}.swu"
    root.write_bytes(noise.randbytes(root_size))
    kernel, initrd = folder / "kernel", folder / "initrd"
    kernel.write_bytes(noise.randbytes(150_000))
    initrd.write_bytes(noise.randbytes(100_000))
    digest = hashlib.sha256(root.read_bytes()).hexdigest()
    line = f"gpt panic=10 ovenbird.hash=sha256:{digest}"
    write_boot(boot, kernel=kernel, initrd=initrd, cmdline=line, size=boot_size, epoch=EPOCH)
    facts = Facts(name="hello", version=version, board="vm", compatible=compatible)
    sign = (by or signer()).sign
    write_bundle(bundle, facts=facts, boot=boot, root=root, sign=sign, epoch=EPOCH, scratch=folder)
    return System(version, boot, root, bundle)


@dataclass
class Device:
    """A disk with slot a filled, the folder on data, and which slot runs."""

    disk: Path
    layout: Layout
    folder: Path
    systems: dict[Slot, System]
    running: Slot = Slot.A
    trial: bool = False

    @property
    def note(self) -> disks.Note:
        """What the initrd would have noted."""
        return disks.Note(self.running, f"/dev/vda{KIND.numbers[f'root-{self.running}']}", self._hash, self.trial)

    @property
    def _hash(self) -> str:
        return self.systems[self.running].hash if self.running in self.systems else ""

    @property
    def image(self) -> Path:
        """The running system's image.json."""
        path = self.folder / "image.json"
        running = self.systems.get(self.running)
        about = manifest.Image(
            name="hello", version=running.version if running else "", board="vm", architecture="amd64"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.dump(about))
        return path

    def slots(self) -> Slots:
        """As the steward has them."""
        return Slots(disks.in_image(self.disk, self.note), self.folder, self.image)

    def content(self, name: str, size: int) -> bytes:
        """The first bytes of a partition."""
        with self.disk.open("rb") as disk:
            return os.pread(disk.fileno(), size, self.layout.partition(name).offset)

    def holds(self, slot: Slot, one: System) -> bool:
        """Whether the slot's partitions have this system, byte by byte."""
        pairs = (("boot", one.boot), ("root", one.root))
        return all(self.content(f"{part}-{slot}", file.stat().st_size) == file.read_bytes() for part, file in pairs)


def device(folder: Path, first: System) -> Device:
    """A new device with `first` in slot a."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = plan(select=SELECT, boot=BOOT, root=ROOT, data=40 * MIB, digest="test")
    code = bios_code(GRUB)
    write_select(folder / "select", grub=GRUB, epoch=EPOCH, size=SELECT)
    disk = folder / "disk.img"
    write_disk(
        disk,
        layout=layout,
        select=folder / "select",
        bios=code,
        boot=first.boot,
        root=first.root,
        digest="test",
        epoch=EPOCH,
    )
    return Device(disk, layout, folder / "state", {Slot.A: first})


def terms(*signers: Signer, compatible: tuple[str, ...] = ("vm",)) -> Terms:
    """What a device takes that knows these signers."""
    return Terms([one.pem for one in signers or (signer(),)], compatible)
