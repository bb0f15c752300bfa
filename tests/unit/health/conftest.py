"""The slots of a small disk in files, as health sees those of its device."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.image.fat import write_fat
from ovenbird_device.format import manifest, selector
from ovenbird_device.format.selector import Slot, State
from ovenbird_device.slots.disk import Disk, Place
from ovenbird_device.slots.manage import Slots

MIB = 1 << 20
HASHES = {Slot.A: "sha256:" + "a" * 64, Slot.B: "sha256:" + "b" * 64}


class Device:
    """A disk with two slots, and the folder where the device keeps what it knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.folder.mkdir()
        self.files = {name: folder / name for name in ("select", "boot-a", "root-a", "boot-b", "root-b")}
        self.arm(State())
        for slot in Slot:
            line = f"quiet ovenbird.hash={HASHES[slot]}"
            files: dict[str, Path | bytes] = {"slot.cfg": b"set ovenbird_cmdline=''\n", "cmdline.txt": line.encode()}
            write_fat(self.files[f"boot-{slot}"], files, size=8 * MIB, label="BOOT", epoch=0)
            self.files[f"root-{slot}"].write_bytes(bytes(4096))
        image = manifest.Image(
            name="test", version="2", board="vm", architecture="amd64", distribution="debian", release="trixie"
        )
        self.image = folder / "image.json"
        self.image.write_bytes(manifest.dump(image))

    def arm(self, state: State) -> None:
        """Let the selector have this state."""
        files: dict[str, Path | bytes] = dict.fromkeys(selector.COPIES, selector.encode(state))
        write_fat(self.files["select"], files, size=8 * MIB, label="SELECT", epoch=0)

    def slots(self, running: Slot, *, trial: bool) -> Slots:
        """The slots as the system in `running` sees them."""
        places = {name: Place(file, 0, file.stat().st_size) for name, file in self.files.items()}
        return Slots(Disk(places, running, HASHES[running], trial), self.folder, self.image)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device with slot a committed and nothing on trial."""
    return Device(tmp_path)
