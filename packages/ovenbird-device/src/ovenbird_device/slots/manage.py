"""What the rest of the device may do with the slots: look at them, commit, roll back, and fill the other one.

    slots = Slots.of_this_device()
    slots.status()      for pages and programs
    slots.commit()      the running slot is healthy
    slots.rollback()    give up the trial, or go back to the slot before; takes effect at the next boot
    slots.arm()         try the other slot's system (again) at the next boots

Needs the rights of root; the agent asks the steward. Every call opens what it needs and lets go of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..format import FormatError, cmdline, fat, manifest
from ..format.selector import TRIES, SelectorError, Slot, State
from ..raspberry import bootloader, eeprom
from . import disk as disks
from . import files
from .autoboot import AutobootStore
from .disk import Disk, SlotsError
from .grub import GrubStore
from .kind import AUTOBOOT
from .status import SlotStatus, Status
from .store import Store, StoreError

IMAGE = Path("/") / manifest.IMAGE_PATH
_LONGEST_LINE = 4096


class Content(msgspec.Struct, frozen=True):
    """What was put into a slot. `hash` is what its boot partition names as its root (`sha256:…`)."""

    hash: str
    version: str = ""
    name: str = ""
    bundle: str = ""
    """SHA-256 of the bundle's description; empty for what came with the disk image."""
    installed: int = 0
    """Seconds since 1970 by the device's clock, which may be wrong; 0: not known."""


class Slots:
    """The slots of one disk. Methods raise SlotsError with a sentence for people; then nothing was changed."""

    def __init__(
        self, disk: Disk, folder: Path = files.FOLDER, image: Path = IMAGE, tree: Path = bootloader.TREE
    ) -> None:
        """`folder` is where the device keeps what it knows, `image` the running system's `image.json`, `tree` the
        machine's device tree.
        """
        self.disk = disk
        self.folder = folder
        self._image = image
        self._tree = tree

    @classmethod
    def of_this_device(cls) -> Slots:
        """Those of the running system."""
        return cls(disks.locate(disks.read_note(disks.NOTE)))

    def state(self) -> State:
        """What the selector will find at the next boot."""
        with self._store(writable=False) as store:
            return store.read().state

    def status(self) -> Status:
        """Everything about both slots."""
        with self._store(writable=False) as store:
            found = store.read()
        state, known = found.state, self.contents()
        return Status(
            running=self.disk.running or "",
            active=state.active,
            trial=state.trial or "",
            trial_boot=self.disk.trial,
            tries=state.tries,
            attempts=state.attempts,
            rescue="rescue" in self.disk.places,
            slots=tuple(self._slot_status(slot, state, known) for slot in Slot),
            damaged=bool(found.stale),
            boot_loader=eeprom.status(self.disk, self._tree, self.folder),
        )

    def commit(self) -> State:
        """The running slot is healthy: it is the active one from now on, and all its attempts are given back."""
        running = self.disk.running
        if running is None:
            raise SlotsError("rescue runs; there is nothing to commit")
        return self._change(lambda state: state.commit(running))

    def rollback(self) -> State:
        """Give up the trial; without one, make the slot before active again. The next boot follows."""
        return self._change(lambda state: state.rollback())

    def arm(self, slot: Slot | None = None, tries: int = TRIES) -> State:
        """Try a slot's system at the next boots: by default the one that is not active."""
        self._falls_back()
        chosen = slot or self.state().active.other
        if not self.boot_line(chosen)[0]:
            raise SlotsError(f"slot {chosen} holds no system")
        return self._change(lambda state: state.arm(chosen, tries))

    def ask_rescue(self) -> State:
        """Start rescue at the next boot, and only at that one."""
        if "rescue" not in self.disk.places:
            raise SlotsError("this device has no rescue; its recipe does not ask for one")
        return self._change(lambda state: state.ask_rescue())

    def ask_boot_loader(self) -> None:
        """Have the Pi's ROM write the boot loader that the card carries into the EEPROM, at the next start."""
        if self.disk.trial or self.state().trial is not None:
            raise SlotsError("a trial is under way or waits for its restart; the boot loader comes before or after it")
        eeprom.ask(self.disk, self._tree, self.folder)

    def settle_boot_loader(self) -> str:
        """After that start, or in place of it: take the request back, and say in words what became of it."""
        return eeprom.settle(self.disk, self._tree, self.folder)

    def target(self) -> Slot:
        """The slot that an update may overwrite: the one that neither runs nor is active."""
        self._falls_back()
        active = self.state().active
        if self.disk.running is active.other:
            raise SlotsError(
                f"slot {self.disk.running} runs and is not committed: commit it or roll back before an update"
            )
        return active.other

    def prepare(self, slot: Slot) -> State:
        """Before the first byte of `slot` is overwritten: from now on the selector does not count on it."""
        if slot is self.disk.running:
            raise SlotsError(f"slot {slot} runs and must not be overwritten")
        return self._change(lambda state: state.prepare(slot))

    def _falls_back(self) -> None:
        """SlotsError on a machine whose boot loader would not come back from a bad trial."""
        if self.disk.kind is AUTOBOOT and (problem := bootloader.read(self._tree).problem):
            raise SlotsError(problem)

    def contents(self) -> dict[Slot, Content]:
        """What is known of each slot's content; of the running one always, if the image says what it is."""
        known = files.load(self.folder / "slots.json", dict[Slot, Content]) or {}
        running = self.disk.running
        if running is not None and (image := self.image()) is not None:
            before = known.get(running)
            kept = before if before and before.hash == self.disk.running_hash else Content(self.disk.running_hash)
            known[running] = msgspec.structs.replace(kept, version=image.version, name=image.name)
        return known

    def remember(self, slot: Slot, content: Content) -> None:
        """Note what a slot now holds. A data partition that cannot be written costs a line on a page, nothing else."""
        try:
            files.save(self.folder / "slots.json", self.contents() | {slot: content})
        except OSError as error:
            print(f"ovenbird: what slot {slot} holds cannot be noted: {error}")

    def image(self) -> manifest.Image | None:
        """What the running system says that it is."""
        try:
            return manifest.load_image(self._image.read_bytes())
        except (OSError, FormatError):
            return None

    def boot_line(self, slot: Slot) -> tuple[bool, str]:
        """Whether the slot's boot partition has what the selector looks for, and the `ovenbird.hash` that it names."""
        try:
            with self.disk.place(f"boot-{slot}").open() as blocks:
                volume = fat.Volume(blocks.read_at)
                bootable = volume.find(self.disk.kind.marker).size > 0
                line = volume.find("cmdline.txt")
                text = volume.read(line).decode("ascii", "replace") if line.size <= _LONGEST_LINE else ""
        except (FormatError, OSError):
            return False, ""
        return bootable, cmdline.parse(text).hash

    def _slot_status(self, slot: Slot, state: State, known: dict[Slot, Content]) -> SlotStatus:
        bootable, named = self.boot_line(slot)
        content = known.get(slot)
        if content is None or (named and content.hash != named):
            content = Content(named)
        return SlotStatus(
            slot=slot,
            running=slot is self.disk.running,
            active=slot is state.active,
            trial=slot is state.trial,
            good=slot in state.good,
            failed=slot in state.failed,
            bootable=bootable,
            hash=content.hash,
            version=content.version,
            name=content.name,
            bundle=content.bundle,
            installed=content.installed,
        )

    def _change(self, event: Callable[[State], State]) -> State:
        with self._store(writable=True) as store:
            try:
                return store.change(event)
            except (SelectorError, StoreError) as error:
                raise SlotsError(str(error)) from error

    @contextmanager
    def _store(self, *, writable: bool) -> Generator[Store]:
        try:
            with self.disk.place("select").open(writable=writable) as blocks:
                store = AutobootStore if self.disk.kind is AUTOBOOT else GrubStore
                yield store(blocks, self.disk.running)
        except (OSError, StoreError) as error:
            raise SlotsError(f"the selector's partition cannot be used: {error}") from error
