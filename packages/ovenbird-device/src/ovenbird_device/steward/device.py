"""The device as the steward sees it: its slots, what bundles it takes, the one update. All places can be given."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..accounts import users as accounts
from ..dev import session
from ..format import FormatError, apps, settings
from ..network import trial
from ..raspberry import bootloader
from ..slots import disk, files, manage
from ..slots.manage import Slots
from ..terminal import opening
from ..tls import store
from ..update.installer import Terms
from ..update.job import Updates
from .changes import Changes


class Places(msgspec.Struct, frozen=True):
    """Where things are. `disk` is a disk image to use in place of the running system's disk."""

    note: Path = disk.NOTE
    system: Path = Path("/sys")
    devices: Path = Path("/dev")
    state: Path = files.FOLDER
    image: Path = manage.IMAGE
    settings: Path = Path("/") / settings.PATH
    disk: Path | None = None
    apps: Path = Path("/") / apps.PATH
    units: Path = session.Places().units
    users: accounts.Places = msgspec.field(default_factory=accounts.Places)
    network: trial.Places = msgspec.field(default_factory=trial.Places)
    terminal: opening.Places = msgspec.field(default_factory=opening.Places)
    certificates: store.Places = msgspec.field(default_factory=store.Places)


class Device:
    """What actions work on. `reboot` is called when an update has armed its trial."""

    def __init__(self, places: Places, reboot: Callable[[], None]) -> None:
        self.places = places
        self.changes = Changes(places.state)
        self.updates = Updates(self.slots, self.terms, reboot)
        self.developing = threading.Lock()
        self.certifying = threading.Lock()

    def dev_places(self) -> session.Places:
        """Where programs under development are."""
        return session.Places(self.places.apps, self.places.state, self.places.units)

    def slots(self) -> Slots:
        """The slots as they are now. Raises SlotsError."""
        note = disk.read_note(self.places.note)
        if self.places.disk is not None:
            found = disk.in_image(self.places.disk, note)
        else:
            found = disk.locate(note, self.places.system, self.places.devices)
        return Slots(found, self.places.state, self.places.image, self.places.system / bootloader.IN_SYSFS)

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
