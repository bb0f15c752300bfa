"""Which disks of this machine may be written: removable ones that nothing uses, unless the user insists.

What the kernel and udev know comes from `lsblk --json` (lsblk(8)). A disk that carries the running system is refused
whatever the user says: no such write can end well.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ovenbird.errors import HostError, UsageError
from ovenbird.run import run
from ovenbird.units import size_text

_COLUMNS = "PATH,TYPE,SIZE,VENDOR,MODEL,TRAN,RM,HOTPLUG,RO,MOUNTPOINTS"
_SYSTEM = ("/", "/boot", "/boot/efi", "/boot/firmware", "/etc", "/home", "/nix", "/usr", "/var", "[SWAP]")
_DISKS = ("disk", "loop")


class Device(msgspec.Struct, frozen=True):
    """One line of lsblk's, with what lies on it."""

    path: str
    type: str
    size: int
    vendor: str | None = None
    model: str | None = None
    tran: str | None = None
    rm: bool = False
    hotplug: bool = False
    ro: bool = False
    mountpoints: tuple[str | None, ...] = ()
    children: tuple[Device, ...] = ()

    def everything(self) -> Iterable[Device]:
        """It and all that is on it: partitions, and what is made of those."""
        yield self
        for child in self.children:
            yield from child.everything()


class _Answer(msgspec.Struct, frozen=True):
    blockdevices: tuple[Device, ...] = ()


class Card(msgspec.Struct, frozen=True):
    """A whole disk. `size` is in bytes; 0 for a reader without a card."""

    path: Path
    name: str
    size: int
    removable: bool
    read_only: bool
    mounted: tuple[str, ...]
    """Where parts of it are mounted."""
    system: bool
    """Whether the running system is on it."""
    used: str = ""
    """What else is made of it: a volume group, an encrypted device."""

    @property
    def verdict(self) -> str:
        """Whether it would be written, in a few words."""
        if self.system:
            return "no: this system runs from it"
        if not self.size or self.read_only:
            return "no: it is write-protected" if self.size else "no"
        if self.mounted or self.used:
            return f"when it is not in use ({', '.join(self.mounted) or self.used})"
        return "yes" if self.removable else "only with --force: it is not removable"

    def __str__(self) -> str:
        return f"{self.path} ({self.name}, {size_text(self.size)})"


def cards(system: Path = Path("/sys")) -> list[Card]:
    """Every whole disk that there is, memory disks and empty loops apart. Raises HostError, CommandError."""
    text = run(["lsblk", "--json", "--bytes", "--tree", "--output", _COLUMNS], what="listing the disks").stdout
    return parse(text, system)


def parse(text: str, system: Path = Path("/sys")) -> list[Card]:
    """The disks in what lsblk says. Raises HostError for what makes no sense."""
    try:
        found = msgspec.json.decode(text, type=_Answer, strict=False).blockdevices
    except msgspec.MsgspecError as error:
        raise HostError(f"lsblk says something that is not understood: {error}", hint="update util-linux") from error
    return [
        _card(one, system)
        for one in found
        if one.type in _DISKS and (one.size or one.rm) and not Path(one.path).name.startswith(("zram", "ram"))
    ]


def _card(device: Device, system: Path) -> Card:
    mounted = tuple(place for one in device.everything() for place in one.mountpoints if place)
    made = next((one for child in device.children for one in child.children), None)
    name = " ".join(part.strip() for part in (device.vendor or "", device.model or "") if part.strip())
    return Card(
        path=Path(device.path),
        name="".join(sign for sign in name if sign.isprintable()) or device.tran or device.type,
        size=device.size,
        removable=device.rm or device.hotplug or device.tran == "usb" or _is_sd(device.path, system),
        read_only=device.ro,
        mounted=mounted,
        system=any(place in _SYSTEM for place in mounted),
        used=made.path if made is not None else "",
    )


def _is_sd(path: str, system: Path) -> bool:
    """A card in a built-in reader looks fixed; the bus tells a card from soldered memory (`MMC`)."""
    try:
        return (system / "class/block" / Path(path).name / "device/type").read_text().strip() == "SD"
    except OSError:
        return False


def choose(path: Path, *, force: bool, known: list[Card] | None = None) -> Card:
    """The card at a path, if it may be written. Raises UsageError that says why not, and what would help."""
    known = cards() if known is None else known
    real = _block_device(path, known)
    card = next((one for one in known if one.path == real), None)
    if card is None:
        whole = next((one for one in known if real.name.startswith(one.path.name)), None)
        raise UsageError(
            f"{path} is no whole disk", hint=f"name the card itself: {whole.path}" if whole else listed(known)
        )
    judge(card, known, force=force)
    return card


def judge(card: Card, known: Sequence[Card], *, force: bool) -> None:
    """Raise UsageError where a card may not be written."""
    if card.system:
        raise UsageError(f"{card} carries the system that runs here ({', '.join(card.mounted)})", hint=listed(known))
    if not card.size:
        raise UsageError(f"there is no card in {card.path} ({card.name})", hint="put one in")
    if card.read_only:
        raise UsageError(f"{card} is write-protected", hint="look at the small switch at the card's side")
    if card.used and not force:
        raise UsageError(f"{card} is in use: {card.used} is made of it", hint="--force writes it all the same")
    if card.mounted and not force:
        raise UsageError(
            f"{card} is mounted at {', '.join(card.mounted)}",
            hint=f"unmount it: {' && '.join(f'umount {place}' for place in card.mounted)}",
        )
    if not card.removable and not force:
        raise UsageError(
            f"{card} is not removable, so it is perhaps no card",
            hint="--force writes it all the same; all on it is lost",
        )


def _block_device(path: Path, known: Sequence[Card]) -> Path:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        hint = (
            listed(known) if path.is_relative_to("/dev") else f"a card is named as /dev/sdb; --to {path} makes a file"
        )
        raise UsageError(f"there is no {path}", hint=hint) from None
    if stat.S_ISREG(kind):
        raise UsageError(f"{path} is a file, not a card", hint=f"--to {path} writes to a file")
    if not stat.S_ISBLK(kind):
        raise UsageError(f"{path} is no disk", hint=listed(known))
    return Path(os.path.realpath(path))


def listed(known: Sequence[Card]) -> str:
    """The removable disks, for an error."""
    there = [str(one) for one in known if one.removable and one.size and not one.system]
    return f"removable disks here: {'; '.join(there)}" if there else "there is no removable disk here"
