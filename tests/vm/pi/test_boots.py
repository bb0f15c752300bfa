"""A card's life through the firmware's model: a tiny system in QEMU, and what becomes of trials, hangs and damage."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovenbird.boards.board import Model
from ovenbird.image.raspberry import Parts
from ovenbird_device.format import autoboot
from ovenbird_device.format.selector import ATTEMPTS, Slot, State
from tests.vm import tiny
from tests.vm.pi import card
from tests.vm.pi.card import Made, Slots
from tests.vm.pi.machine import PI3, PI4, RASPI3B, VIRT, Pi, Stand

PATIENCE = 900.0  # seconds for one boot on a busy machine


class Guest(Pi, tiny.Guest):
    """A Pi whose root is a shell on its serial line."""

    @property
    def slots(self) -> Slots:
        """Its card, with the power off."""
        return Slots(self.card)

    def up(self) -> dict[str, str]:
        """As `tiny.Guest.up`, with more patience: a whole Pi is emulated."""
        self.wait_for("^root is up$", PATIENCE)
        return super().up()

    def until_up(self) -> dict[str, str]:
        """Boot, and leave data in order again; what the initrd noted."""
        self.boot()
        boot = self.up()
        self.put_away()
        return boot


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return card.make(tmp_path_factory.mktemp("pi"))


@pytest.fixture(scope="module")
def roots(made: Made) -> tuple[Path, Path]:
    return tiny.make_root(made, made.folder / "root-1", "1"), tiny.make_root(made, made.folder / "root-2", "2")


@pytest.fixture(scope="module")
def image(made: Made, roots: tuple[Path, Path]) -> Path:
    made.card(made.folder / "card.img", roots[0])
    return made.folder / "card.img"


@contextmanager
def pi(image: Path, folder: Path, stand: Stand = VIRT, model: Model = PI3, words: str = "") -> Generator[Guest]:
    with Guest(image, folder / "card", stand=stand, words=words, model=model) as guest:
        yield guest


def test_a_pi_3_boots_from_its_card(image: Path, tmp_path: Path) -> None:
    with pi(image, tmp_path, RASPI3B) as guest:
        started = guest.boot()
        assert (started.partition, started.program, started.overlays) == (2, "start.elf", ("ovenbird",))
        boot = guest.up()
        assert (boot["slot"], boot["root_device"], boot["data_device"], boot["data"], boot["selector"]) == (
            "a", "/dev/mmcblk0p5", "/dev/mmcblk0p7", "ok", "autoboot",
        )  # fmt: skip
        iomem = guest.ask("cat /proc/iomem")
        assert "10000000-101fffff : reserved" in iomem
        assert "mailbox" in iomem
        guest.put_away()
        assert guest.slots.state == State(attempts=ATTEMPTS - 1)


def test_the_watchdog_of_the_pi_is_armed_by_a_trial(
    made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    """QEMU's watchdog of a Pi does not count: whoever starts it is reset at once. So the trial ends here."""
    with pi(image, tmp_path, RASPI3B) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[1])
        guest.firmware.flag = True
        assert guest.boot().partition == 3
        assert guest.wait_off(PATIENCE)
        assert "starts: kernel" not in guest.console
        assert guest.boot().partition == 2
        guest.up()
        guest.put_away()
        assert guest.slots.state.failed == {Slot.B}


@pytest.mark.parametrize("model", [PI3, PI4])
def test_a_good_update(made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path, model: Model) -> None:
    with pi(image, tmp_path, model=model) as guest:
        assert guest.until_up()["slot"] == "a"
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[1])
        guest.firmware.flag = True
        started = guest.boot()
        assert (started.partition, started.tryboot) == (3, True)
        boot = guest.up()
        assert (boot["slot"], boot["trial"], boot["root_device"], boot["etc"]) == ("b", "1", "/dev/vda6", "fresh")
        assert guest.ask("cat /etc/version") == "2"
        guest.put_away()
        assert guest.slots.state == State(trial=Slot.B, tries=0, attempts=ATTEMPTS - 1)
        guest.slots.state = guest.slots.state.commit(Slot.B)
        assert guest.boot().partition == 3
        boot = guest.up()
        assert (boot["slot"], boot["trial"], boot["etc"]) == ("b", "0", "kept")
        guest.put_away()
        assert guest.slots.state == State(active=Slot.B, attempts=ATTEMPTS - 1, good=frozenset(Slot))


def test_a_trial_is_not_without_the_flag(made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path) -> None:
    """The plug was pulled between the end of the update and the restart."""
    with pi(image, tmp_path) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[1])
        assert guest.until_up()["slot"] == "a"
        state = guest.slots.state
        assert state.trial is None
        assert state.failed == {Slot.B}
        guest.firmware.flag = True  # somebody types it by hand: nothing is armed any more
        assert guest.boot().partition == 2


def test_a_root_that_is_not_what_was_signed(made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path) -> None:
    with pi(image, tmp_path) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[0])
        guest.firmware.flag = True
        assert guest.boot().partition == 3
        guest.wait_for("THIS SLOT DOES NOT BOOT", PATIENCE)
        assert guest.restarted(PATIENCE)
        assert guest.boot().partition == 2
        assert guest.up()["slot"] == "a"
        guest.put_away()
        assert guest.slots.state.failed == {Slot.B}


def test_a_kernel_that_says_nothing_and_a_plug(
    made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    """Neither initrd nor watchdog comes to work: the power is taken away, and the firmware has forgotten the trial."""
    files = tmp_path / "kernel"
    files.write_bytes(b"\x00\x00\x00\x14" * 5000)  # a branch to itself
    parts = Parts(files, made.initrd, made.files.firmware, made.files.device_trees)
    with pi(image, tmp_path) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1], parts=parts), roots[1])
        guest.firmware.flag = True
        assert guest.boot().partition == 3
        assert not guest.wait_off(10)
        guest.pull_plug()
        assert guest.until_up()["slot"] == "a"
        assert guest.slots.state.failed == {Slot.B}


def test_a_committed_slot_that_never_comes_up_falls_back(
    made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    """Its initrd comes as far as counting, its root never up."""
    with pi(image, tmp_path) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[1], arm=False)
        guest.slots.overwrite(guest.slots.partition(5), b"\x5a" * 8192)
        guest.slots.state = State(attempts=1, good=frozenset(Slot))
        assert guest.boot().partition == 2
        assert guest.restarted(PATIENCE)
        assert guest.boot().partition == 2
        guest.wait_for("slot b is the active one now", PATIENCE)
        assert guest.restarted(PATIENCE)
        assert guest.boot().partition == 3
        assert guest.up()["slot"] == "b"
        guest.put_away()
        state = guest.slots.state
        assert state == State(Slot.B, attempts=state.attempts, good=frozenset({Slot.B}), failed=frozenset({Slot.A}))


def test_a_selector_that_cannot_be_read(image: Path, tmp_path: Path) -> None:
    """The firmware takes the first partition that it can boot, and so does the initrd."""
    with pi(image, tmp_path) as guest:
        guest.slots.damage()
        boot = guest.until_up()
        assert (boot["slot"], boot["trial"]) == ("a", "0")
        assert "selector cannot be read" in boot["notes"]


def test_a_boot_partition_that_is_gone(made: Made, roots: tuple[Path, Path], image: Path, tmp_path: Path) -> None:
    with pi(image, tmp_path) as guest:
        guest.slots.fill_b(made.boot(tmp_path / "boot", roots[1]), roots[1], arm=False)
        guest.slots.overwrite(guest.slots.partition(2), bytes(4096))
        assert guest.boot().partition == 3
        assert guest.up()["slot"] == "b"
        guest.put_away()
        assert guest.slots.state.active is Slot.B
        assert guest.slots.state.failed == {Slot.A}


def test_two_cards_of_one_image_in_one_machine(image: Path, tmp_path: Path) -> None:
    """The one that the boot loader did not boot is left alone."""
    twin = Path(shutil.copy(image, tmp_path / "twin"))
    with pi(image, tmp_path) as guest:
        guest.also = (twin,)
        boot = guest.until_up()
        assert (boot["root_device"], boot["data_device"]) == ("/dev/vda5", "/dev/vda7")
        assert Slots(twin).state == State()


def test_an_old_boot_loader_boots_what_is_active(image: Path, tmp_path: Path) -> None:
    """One that takes the lines of [tryboot] for everybody's: they are comments while nothing is armed."""
    with pi(image, tmp_path) as guest:
        guest.firmware.knows_tryboot_section = False
        assert guest.boot().partition == autoboot.PARTITIONS[Slot.A]
