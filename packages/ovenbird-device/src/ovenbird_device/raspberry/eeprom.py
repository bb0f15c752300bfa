"""A newer boot loader for a Pi's EEPROM: what the card carries, asking the Pi's ROM for it, and what became of that.

See `format.eeprom` for what is asked how. Nothing but the names of the three files is ever written, in one sector:
at every moment the card either asks for all, or for nothing. What happens after a restart is the ROM's.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import msgspec

from ..format import FormatError, eeprom, fat
from ..slots import files
from ..slots.disk import Disk, SlotsError
from ..slots.kind import AUTOBOOT
from ..slots.status import BootLoader
from ..slots.store import locked
from ..update.blocks import SECTOR, Blocks
from . import bootloader

ASKED, ENDED = "eeprom-asked.json", "eeprom.json"
_MODELS = frozenset({b"raspberrypi,4-model-b", b"raspberrypi,400"})
"""Those whose ROM looks for `recovery.bin`, as Linux calls them (Documentation/devicetree/bindings/arm/bcm2835.yaml).
That of a Compute Module 4 does not (Raspberry Pi documentation, "Update the bootloader")."""
_LONGEST_SIGNATURE = 4096


class Asked(msgspec.Struct, frozen=True):
    """A request that waits for its restart: build times, and when it was made, in seconds since 1970."""

    before: int
    wanted: int
    time: int


class Ended(msgspec.Struct, frozen=True):
    """How the last request ended: the build times before and after, and the one that was wanted."""

    before: int
    wanted: int
    after: int
    time: int

    @property
    def words(self) -> str:
        """The same for people."""
        wanted, after = eeprom.day(self.wanted), eeprom.day(self.after)
        if self.after == self.wanted:
            return f"The boot loader was updated from {eeprom.day(self.before)} to {after}."
        if self.after == self.before:
            return f"The boot loader is still that of {after}: the one of {wanted} was not taken."
        return f"The boot loader is of {after} now, where {wanted} was asked for."


def status(disk: Disk, tree: Path, folder: Path) -> BootLoader | None:
    """The boot loader in this machine's EEPROM, and the one that the card carries; None if it has no EEPROM."""
    said = bootloader.read(tree)
    if disk.kind is not AUTOBOOT or said.built is None:
        return None
    carried: int | None = None
    hindrance = ""
    try:
        carried = _carried(disk)
        _may(disk, tree, said.built, carried)
    except SlotsError as error:
        hindrance = str(error)
    ended = files.load(folder / ENDED, Ended)
    return BootLoader(
        built=said.built,
        problem=said.problem,
        carried=carried,
        hindrance=hindrance,
        last="" if ended is None else ended.words,
    )


def ask(disk: Disk, tree: Path, folder: Path) -> None:
    """Have the ROM write the carried image at the next start. SlotsError if it cannot; then nothing is asked for.

    `folder` is where the device keeps what it knows.
    """
    built = bootloader.read(tree).built
    if disk.kind is not AUTOBOOT or built is None:
        raise SlotsError("this machine has no boot loader in an EEPROM")
    wanted = _carried(disk)
    _may(disk, tree, built, wanted)
    try:
        with disk.place("select").open(writable=True) as blocks, locked(blocks):
            image = _whole(fat.Volume(blocks.read_at))
            # Noted first: a card that asks, and a device that does not know of it, is what nobody takes back.
            files.save(folder / ASKED, Asked(built, image.built, files.now()))
            _write(blocks, asking=True)
    except (OSError, FormatError) as error:
        raise SlotsError(f"the boot loader cannot be asked for: {error}") from error


def settle(disk: Disk, tree: Path, folder: Path) -> str:
    """Take back what is still asked for, and note what became of it. Returns that in words; SlotsError if the card
    cannot be written.
    """
    try:
        with disk.place("select").open(writable=True) as blocks, locked(blocks):
            _write(blocks, asking=False)
        asked = files.load(folder / ASKED, Asked)
        after = bootloader.read(tree).built
        words = "Nothing is asked for any more."
        if asked is not None and after is not None:
            ended = Ended(asked.before, asked.wanted, after, files.now())
            files.save(folder / ENDED, ended)
            words = ended.words
        (folder / ASKED).unlink(missing_ok=True)
    except (OSError, FormatError) as error:
        raise SlotsError(f"the request for a boot loader cannot be taken back: {error}") from error
    return words


def _carried(disk: Disk) -> int:
    """When the boot loader that the card carries was built. SlotsError if it carries none."""
    try:
        with disk.place("select").open() as blocks:
            return _signature(fat.Volume(blocks.read_at)).built
    except (OSError, FormatError) as error:
        raise SlotsError("this card carries no boot loader: its recipe names none ([pi] eeprom)") from error


def _may(disk: Disk, tree: Path, built: int, wanted: int) -> None:
    """SlotsError if the image that is carried is not for this machine, or no news."""
    try:
        models = frozenset((tree / "compatible").read_bytes().split(b"\0"))
    except OSError:
        models = frozenset[bytes]()
    if not models & _MODELS:
        raise SlotsError("the ROM of this model takes no boot loader from a card; use rpiboot from another computer")
    device = disk.place("select").path
    if device.is_block_device() and not device.name.startswith("mmcblk"):
        raise SlotsError(f"the ROM looks at the SD card only, and this device runs from {device.name}")
    if wanted <= built:
        raise SlotsError(f"the boot loader is not older than the one of {eeprom.day(wanted)} on the card")


def _signature(volume: fat.Volume) -> eeprom.Image:
    for name in ("EEPROM.SIG", "PIEEPROM.SIG"):
        with suppress(FormatError):
            file = volume.find(name)
            if file.size <= _LONGEST_SIGNATURE:
                return eeprom.read_signature(volume.read(file))
    raise FormatError("there is no sum of an EEPROM's image on the card")


def _whole(volume: fat.Volume) -> eeprom.Image:
    """The carried image, read from the medium and compared with its sum. `recovery.bin` is looked at by the ROM, which
    passes over what is none (rpi-eeprom, `rpi-eeprom-update`).
    """
    file = volume.find("EEPROM.UPD")
    if file.size != eeprom.SIZE or not volume.find("EEPROM.REC").size:
        raise FormatError("the files on the card are not whole")
    image = eeprom.read_image(volume.read(file))
    if image != _signature(volume):
        raise FormatError("the image on the card is not the one that its sum is of")
    return image


def _write(blocks: Blocks, *, asking: bool) -> None:
    """The names, in one sector. An error leaves the card as it was, as far as the medium allows."""
    place = fat.Volume(blocks.read_at).root_offset
    before = blocks.read_at(place, SECTOR)
    after = eeprom.asking(before) if asking else eeprom.carried(before)
    if after == before:
        return
    try:
        _put(blocks, place, after)
    except OSError:
        with suppress(OSError):
            _put(blocks, place, before)
        raise


def _put(blocks: Blocks, place: int, sector: bytes) -> None:
    blocks.write_at(place, sector)
    blocks.flush()
    if blocks.read_at(place, SECTOR) != sector:
        raise OSError(errno.EIO, "the medium does not keep what is written")
