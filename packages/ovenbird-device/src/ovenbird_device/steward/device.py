"""The device as the steward sees it: its slots, what bundles it takes, the one update. All places can be given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..format import FormatError, settings
from ..slots import disk, files, manage
from ..slots.manage import Slots
from ..update.installer import Terms
from ..update.job import Updates


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are. `disk` is a disk image to use in place of the running system's disk."""

    note: Path = disk.NOTE
    system: Path = Path("/sys")
    devices: Path = Path("/dev")
    state: Path = files.FOLDER
    image: Path = manage.IMAGE
    settings: Path = Path("/") / settings.PATH
    disk: Path | None = None


@dataclass(slots=True)
class Device:
    """What actions work on. `reboot` is called when an update has armed its trial."""

    places: Places
    reboot: Callable[[], None]
    updates: Updates = field(init=False)

    def __post_init__(self) -> None:
        self.updates = Updates(self.slots, self.terms, self.reboot)

    def slots(self) -> Slots:
        """The slots as they are now. Raises SlotsError."""
        note = disk.read_note(self.places.note)
        if self.places.disk is not None:
            return Slots(disk.in_image(self.places.disk, note), self.places.state, self.places.image)
        found = disk.locate(note, self.places.system, self.places.devices)
        return Slots(found, self.places.state, self.places.image)

    def terms(self) -> Terms:
        """What the image says about bundles; an image that says nothing takes none. Raises ValueError."""
        try:
            said = settings.load(self.places.settings.read_bytes())
        except FileNotFoundError:
            said = settings.UpdateSettings()
        except FormatError as error:
            print(f"ovenbird-steward: {error}", file=sys.stderr)
            raise
        image = self.slots().image()
        return Terms(said.certificates, said.compatible or ((image.board,) if image else ()), said.tries)
