"""The installer on a real disk image with real bundles: what it takes, what it refuses, and what it leaves."""

from __future__ import annotations

import errno
import io
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from msgspec.structs import replace
from tests.updates import BOOT, ROOT, Device, System, signer, system, terms

from ovenbird_device.format import cpio, selector
from ovenbird_device.format.selector import Slot
from ovenbird_device.slots.disk import Disk, Place
from ovenbird_device.slots.manage import Slots
from ovenbird_device.update import record
from ovenbird_device.update.blocks import ALIGNED, Blocks
from ovenbird_device.update.installer import Event, Installed, Installer, Progress, Terms
from ovenbird_device.update.policy import Wishes
from ovenbird_device.update.snapshot import Reason, UpdateError

NO_WISHES = Wishes()


def install(
    device: Device,
    bundle: Path | bytes,
    wishes: Wishes = NO_WISHES,
    *,
    takes: Terms | None = None,
    slots: Slots | None = None,
) -> tuple[Installed, list[Event]]:
    events: list[Event] = []
    raw = bundle if isinstance(bundle, bytes) else bundle.read_bytes()
    installer = Installer(slots or device.slots(), takes or terms(), events.append, chunk=65536)
    return installer.install(io.BytesIO(raw), wishes), events


def refused(
    device: Device,
    bundle: Path | bytes,
    reason: Reason,
    *,
    touched: bool,
    wishes: Wishes = NO_WISHES,
    takes: Terms | None = None,
    slots: Slots | None = None,
) -> str:
    """The installer refuses, for that reason, and the device can do what it could."""
    before = device.slots().state()
    with pytest.raises(UpdateError) as caught:
        install(device, bundle, wishes, takes=takes, slots=slots)
    error = caught.value
    assert (error.reason, error.touched) == (reason, touched), str(error)
    message = str(error)
    assert message[0].isupper()
    assert message.endswith(".")
    assert "\n" not in message
    after = device.slots().state()
    assert after == (before.prepare(Slot.B) if touched else before)
    assert device.holds(Slot.A, device.systems[Slot.A])
    if touched:
        assert device.content("boot-b", ALIGNED) == bytes(ALIGNED)
        assert device.content("root-b", ALIGNED) == bytes(ALIGNED)
        assert not device.slots().boot_line(Slot.B)[0]
    return message


def test_a_good_bundle_is_written_verified_and_armed(fresh: Device, systems: dict[str, System]) -> None:
    done, events = install(fresh, systems["2.0"].bundle)
    assert (done.slot, done.version) == (Slot.B, "2.0")
    assert fresh.holds(Slot.B, systems["2.0"])
    assert fresh.holds(Slot.A, systems["1.0"])
    assert fresh.slots().state() == selector.State().arm(Slot.B)
    assert [type(event).__name__ for event in events][:: len(events) - 1] == ["Accepted", "Armed"]
    steps = [event for event in events if isinstance(event, Progress)]
    assert {step.phase for step in steps} == {"write", "verify"}
    assert all(0 < step.done <= step.total for step in steps)
    status = fresh.slots().status()
    assert [(one.version, one.hash, one.bootable) for one in status.slots] == [
        ("1.0", systems["1.0"].hash, True),
        ("2.0", systems["2.0"].hash, True),
    ]


def test_back_and_forth(fresh: Device, systems: dict[str, System]) -> None:
    install(fresh, systems["2.0"].bundle)
    fresh.systems[Slot.B] = systems["2.0"]
    fresh.running, fresh.trial = Slot.B, True
    with pytest.raises(UpdateError, match="commit it or roll back"):
        install(fresh, systems["2.1"].bundle)
    fresh.slots().commit()
    done, _ = install(fresh, systems["2.1"].bundle)
    assert done.slot is Slot.A
    assert fresh.holds(Slot.A, systems["2.1"])
    assert fresh.holds(Slot.B, systems["2.0"])


def test_an_armed_bundle_is_replaced_by_the_next_one(fresh: Device, systems: dict[str, System]) -> None:
    install(fresh, systems["2.1"].bundle)
    install(fresh, systems["2.0"].bundle)
    assert fresh.holds(Slot.B, systems["2.0"])
    assert fresh.slots().state().trial is Slot.B


def test_what_is_decided_before_the_first_byte(fresh: Device, systems: dict[str, System], tmp_path: Path) -> None:
    good = systems["2.0"].bundle
    assert "stranger" in refused(fresh, good, Reason.SIGNATURE, touched=False, takes=terms(signer("others")))
    refused(fresh, good, Reason.SIGNATURE, touched=False, takes=Terms([], ["vm"]))
    refused(fresh, good, Reason.COMPATIBLE, touched=False, takes=terms(compatible=("rpi",)))
    old = system(tmp_path, "0.9")
    assert "older than 1.0" in refused(fresh, old.bundle, Reason.OLDER, touched=False)
    large = system(tmp_path, "3.0", root_size=ROOT + 1)
    assert "does not fit" in refused(fresh, large.bundle, Reason.TOO_LARGE, touched=False)
    large = system(tmp_path, "3.1", boot_size=BOOT + (1 << 20))
    refused(fresh, large.bundle, Reason.TOO_LARGE, touched=False)
    refused(fresh, b"", Reason.BUNDLE, touched=False)
    refused(fresh, b"#!/bin/sh\necho I am no bundle\n" * 99, Reason.BUNDLE, touched=False)
    record.note_failed(fresh.folder, _digest(good))
    assert "failed on this device before" in refused(fresh, good, Reason.FAILED_BEFORE, touched=False)
    install(fresh, good, Wishes(force=True))
    install(fresh, old.bundle, Wishes(allow_downgrade=True))


def _digest(bundle: Path) -> str:
    import hashlib

    with bundle.open("rb") as stream:
        return hashlib.sha256(next(cpio.read(stream, flat=True)).all(1 << 20)).hexdigest()


def test_an_unsigned_bundle(fresh: Device, systems: dict[str, System]) -> None:
    out = io.BytesIO()
    with systems["2.0"].bundle.open("rb") as stream, cpio.Writer(out) as archive:
        for member in cpio.read(stream, flat=True):
            if member.entry.name != "sw-description.sig":
                archive.file(member.entry.name, member.all(1 << 24))
    refused(fresh, out.getvalue(), Reason.BUNDLE, touched=False)


def test_a_full_size_image_fits(fresh: Device, tmp_path: Path) -> None:
    full = system(tmp_path, "3.0", root_size=ROOT)
    install(fresh, full.bundle)
    assert fresh.holds(Slot.B, full)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65536 + 4096, 70001])
def test_odd_sizes(fresh: Device, tmp_path: Path, size: int) -> None:
    odd = system(tmp_path, "3.0", root_size=size)
    install(fresh, odd.bundle)
    assert fresh.holds(Slot.B, odd)


def outcome(device: Device, bundle: bytes) -> Reason | None:
    """Why it was not installed; None if it was."""
    try:
        install(device, bundle)
    except UpdateError as error:
        return error.reason
    return None


def test_a_wrong_byte_anywhere(fresh: Device, systems: dict[str, System]) -> None:
    good = systems["2.0"].bundle.read_bytes()
    dice = random.Random(3)
    first = good.index(b"boot.vfat.gz\0")
    places = [*range(0, first, first // 12), *(dice.randrange(first, len(good)) for _ in range(12)), len(good) - 700]
    for place in places:
        spoilt = bytearray(good)
        spoilt[place] ^= 1 << dice.randrange(8)
        reason = outcome(fresh, bytes(spoilt))
        if reason is not None:
            assert reason in (Reason.SIGNATURE, Reason.BUNDLE, Reason.DIGEST), place
            assert fresh.slots().state().trial is None, place
        else:  # Bytes that mean nothing: times, inode numbers, padding. What is installed is what was signed.
            assert fresh.holds(Slot.B, systems["2.0"])
            fresh.slots().rollback()
            (fresh.folder / "slots.json").unlink()
        assert fresh.holds(Slot.A, systems["1.0"])


@pytest.mark.parametrize("share", [0.0001, 0.002, 0.1, 0.5, 0.9, 0.9999])
def test_a_bundle_that_ends_early(fresh: Device, systems: dict[str, System], share: float) -> None:
    good = systems["2.0"].bundle.read_bytes()
    end = max(int((len(good) - 600) * share), 10)
    before = good.index(b"boot.vfat.gz\0")
    touched = end > before + 20
    refused(fresh, good[:end], Reason.BUNDLE, touched=touched)


def test_a_failed_trial_is_remembered_without_anybody_saying_so(fresh: Device, systems: dict[str, System]) -> None:
    """The trial's kernel never ran: only GRUB's flag tells. It must outlive the slot's next content."""
    install(fresh, systems["2.0"].bundle)
    fresh.slots().rollback()
    refused(fresh, systems["2.0"].bundle, Reason.FAILED_BEFORE, touched=False)
    install(fresh, systems["2.1"].bundle)
    refused(fresh, systems["2.0"].bundle, Reason.FAILED_BEFORE, touched=False)


# ---- media that fail -------------------------------------------------------------------------------------------------


class BadPlace(Place, frozen=True):
    """A partition whose medium misbehaves."""

    make: Callable[[Blocks], Blocks]

    def open(self, *, writable: bool = False, alone: bool = False) -> Blocks:
        return self.make(Place.open(self, writable=writable, alone=alone))


class Bad:
    """A medium that fails from the n-th call of one kind on, by an error or without a word."""

    def __init__(self, inner: Blocks, kind: str, after: int) -> None:
        self._inner = inner
        self._kind = kind
        self._left = after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.__exit__()

    @property
    def size(self) -> int:
        return self._inner.size

    def read_at(self, offset: int, size: int) -> bytes:
        self._fail("read")
        return self._inner.read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> None:
        self._fail("write")
        if self._kind == "lose" and self._left <= 0:
            return
        self._left -= self._kind == "lose"
        self._inner.write_at(offset, data)

    def flush(self) -> None:
        self._fail("flush")
        self._inner.flush()

    def _fail(self, kind: str) -> None:
        if kind == self._kind:
            if self._left <= 0:
                raise OSError(errno.EIO, "Input/output error")
            self._left -= 1


def with_bad(device: Device, name: str, kind: str, after: int) -> Slots:
    slots = device.slots()
    one = slots.disk.place(name)
    bad = BadPlace(one.path, one.offset, one.size, lambda inner: Bad(inner, kind, after))
    slots.disk = replace(slots.disk, places={**slots.disk.places, name: bad})
    return slots


@pytest.mark.parametrize("part", ["boot-b", "root-b"])
@pytest.mark.parametrize(
    ("kind", "after"), [("write", 0), ("write", 1), ("write", 9), ("flush", 1), ("read", 0), ("read", 5), ("lose", 4)]
)
def test_a_failing_disk(fresh: Device, systems: dict[str, System], part: str, kind: str, after: int) -> None:
    message = refused(fresh, systems["2.0"].bundle, Reason.DISK, touched=True, slots=with_bad(fresh, part, kind, after))
    assert part.removesuffix("-b") in message


@pytest.mark.parametrize("kind", ["write", "flush"])
def test_a_selector_that_cannot_be_written(fresh: Device, systems: dict[str, System], kind: str) -> None:
    slots = with_bad(fresh, "select", kind, 0)
    with pytest.raises(UpdateError) as caught:
        install(fresh, systems["2.0"].bundle, slots=slots)
    assert caught.value.reason is Reason.SLOTS
    assert fresh.slots().state().trial is None
    assert fresh.holds(Slot.A, systems["1.0"])


def test_data_that_cannot_be_written_costs_the_record_only(
    fresh: Device, systems: dict[str, System], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    slots = Slots(fresh.slots().disk, tmp_path / "file" / "state", fresh.image)
    install(fresh, systems["2.0"].bundle, slots=slots)
    assert fresh.slots().state().trial is Slot.B


def test_a_disk_that_is_in_use_elsewhere(fresh: Device, systems: dict[str, System]) -> None:
    """`alone` asks the kernel; here: a file cannot be held, so the refusal is the open's own error."""
    slots = fresh.slots()
    gone = Place(slots.disk.place("root-b").path.with_name("gone"), 0, ROOT)
    slots.disk = replace(slots.disk, places={**slots.disk.places, "root-b": gone})
    assert isinstance(slots.disk, Disk)
    refused(fresh, systems["2.0"].bundle, Reason.DISK, touched=False, slots=slots)


def test_a_bundle_made_by_hand(fresh: Device, systems: dict[str, System], tmp_path: Path) -> None:
    """With libconfig, openssl and cpio, as SWUpdate's manual shows it; no word of ours in it, root before boot."""
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    one, who = systems["2.0"], signer()
    (tmp_path / "root.img").write_bytes(one.root.read_bytes())
    (tmp_path / "boot.img").write_bytes(one.boot.read_bytes())
    sums = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("root.img", "boot.img")}
    (tmp_path / "sw-description").write_text(
        'software =\n{\n  version = "2.0";\n  hardware-compatibility: [ "vm" ];\n  stable: { copy-2: { images: (\n'
        + ",\n".join(
            f'{{ filename = "{part}.img"; device = "/dev/disk/by-partlabel/{part}-b"; type = "raw"; '
            f'sha256 = "{sums[f"{part}.img"]}"; installed-directly = true; }}'
            for part in ("root", "boot")
        )
        + " ); }; };\n}\n"
    )
    key = who.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_text(who.pem)
    script = (
        "openssl cms -sign -in sw-description -out sw-description.sig -signer cert.pem -inkey key.pem -outform DER "
        "-nosmimecap -binary && printf '%s\\n' sw-description sw-description.sig root.img boot.img | cpio -o -H crc"
    )
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    install(fresh, done.stdout)
    assert fresh.holds(Slot.B, one)
