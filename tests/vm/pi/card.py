"""A card with a tiny system: Debian's arm64 kernel, the Pi's firmware, our initrd, and a shell as the root's init."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ovenbird.boards import board
from ovenbird.image.disk import write_disk
from ovenbird.image.layout import CARD_SELECT_SIZE, CardLayout, plan_card
from ovenbird.image.raspberry import Parts, write_boot, write_select
from ovenbird.recipe.model import Base
from ovenbird.recipe.pi import Pi
from ovenbird_device.format import autoboot, fat, mbr
from ovenbird_device.format.sectors import SECTOR
from ovenbird_device.format.selector import Slot, State
from tests.vm import tiny

BOARD = board("rpi")
MIB = 1 << 20
BOOT = 64 * MIB
ROOT = 16 * MIB
DATA = 64 * MIB
ARGUMENTS = ("panic=10", "quiet")


@dataclass(frozen=True)
class Made(tiny.Parts):
    """What cards are made of, made once."""

    @property
    def parts(self) -> Parts:
        """As the boot partition takes them."""
        return Parts(self.files.kernel, self.initrd, self.files.firmware, self.files.device_trees)

    def boot(self, out: Path, root: Path, *words: str, pi: Pi | None = None, parts: Parts | None = None) -> Path:
        """A boot partition for this root, with these further words on its command line."""
        digest = hashlib.sha256(root.read_bytes()).hexdigest()
        write_boot(
            out,
            board=BOARD,
            pi=pi or Pi(),
            parts=parts or self.parts,
            arguments=[*BOARD.console, *ARGUMENTS, *words, f"ovenbird.hash=sha256:{digest}"],
            size=BOOT,
            epoch=0,
        )
        return out

    def card(self, out: Path, root: Path, *words: str) -> CardLayout:
        """A card with this root in slot a."""
        layout = plan_card(select=CARD_SELECT_SIZE, boot=BOOT, root=ROOT, data=DATA, digest=str(out))
        select = out.with_suffix(".select")
        write_select(select, board=BOARD, firmware=self.files.firmware, epoch=0)
        boot = self.boot(out.with_suffix(".boot"), root, *words)
        write_disk(out, layout=layout, select=select, boot=boot, root=root, digest=str(out), epoch=0)
        return layout


def make(folder: Path) -> Made:
    """Kernel, firmware, initrd and the programs of the root, from packages."""
    base = Base(release="trixie", components=("main", *BOARD.components))
    parts = tiny.make_parts(folder, BOARD, base, BOARD.boot_packages)
    return Made(parts.folder, parts.files, parts.initrd, parts.e2fsck)


@dataclass
class Slots:
    """A card with its power off, looked at and changed from outside."""

    card: Path

    def _table(self) -> mbr.Table:
        with self.card.open("rb") as card:

            def read(offset: int, size: int) -> bytes:
                card.seek(offset)
                return card.read(size)

            return mbr.read(read, self.card.stat().st_size // SECTOR)

    def _place(self) -> int:
        """Where the selector's sector lies."""
        select = self._table().numbered(1).offset
        with self.card.open("rb") as card:

            def read(offset: int, size: int) -> bytes:
                card.seek(select + offset)
                return card.read(size)

            return select + fat.Volume(read).find(autoboot.NAME).extents[0].offset

    @property
    def state(self) -> State:
        """The selector's."""
        with self.card.open("rb") as card:
            card.seek(self._place())
            return autoboot.decode_one(card.read(autoboot.SIZE))

    @state.setter
    def state(self, state: State) -> None:
        self.overwrite(self._place(), autoboot.encode(state))

    def damage(self) -> None:
        """Make the selector's sector unreadable."""
        self.overwrite(self._place(), b"\xa5" * autoboot.SIZE)

    def overwrite(self, offset: int, content: bytes) -> None:
        """Change bytes of the card."""
        with self.card.open("r+b") as card:
            card.seek(offset)
            card.write(content)

    def partition(self, number: int) -> int:
        """Where a partition begins, in bytes."""
        return self._table().numbered(number).offset

    def write(self, number: int, content: Path) -> None:
        """Fill a partition."""
        self.overwrite(self.partition(number), content.read_bytes())

    def fill_b(self, boot: Path, root: Path, *, arm: bool = True) -> None:
        """What an update does to slot b."""
        self.write(3, boot)
        self.write(6, root)
        state = self.state.prepare(Slot.B)
        self.state = state.arm(Slot.B, autoboot.TRIES) if arm else replace_good(state)


def replace_good(state: State) -> State:
    """The state after b was committed, and then a again."""
    return State(active=state.active, good=frozenset(Slot))
