"""A whole device on a card, from its page to updates and back, through the firmware's model: `examples/pi`, built and
flashed by the installed program, booted on QEMU's `virt`, updated by the installed program.

One device lives through it all. What makes a trial one here is the whole way: the steward arms it, a service sets
`0 tryboot` at the shutdown, the kernel hands it on, the firmware's model boots the other partition once.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from ovenbird.files import copy_sparse
from ovenbird.vm.machine import MachineError
from ovenbird.vm.network import ADDRESS
from ovenbird_device.format import autoboot
from ovenbird_device.format.selector import Slot
from tests.tool import Tool
from tests.vm.guest import Guest, forward, wait
from tests.vm.pi.card import Slots
from tests.vm.pi.example import build_example
from tests.vm.pi.firmware import Started
from tests.vm.pi.machine import Pi
from tests.vm.updating import PASSWORD, Images

pytestmark = pytest.mark.vm

PATIENCE = 3600.0
CARD = 2 << 30
"""Bytes of the card: QEMU takes powers of two."""


class Powered(Pi):
    """A Pi that is left to itself: whenever it restarts, the firmware boots it again."""

    def __init__(self, image: Path, card: Path) -> None:
        super().__init__(image, card, forwards=forward(80))
        self.boots: list[Started] = []
        self.said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def live(self) -> None:
        """Plug it in."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.is_set():
            self.boots.append(self.boot())
            while self.running and not self._stop.is_set():
                self._stop.wait(0.2)
            self.said += self.console
            self.firmware.flag = self.asked_for_trial()

    def die(self) -> None:
        """Pull the plug."""
        self._stop.set()
        self._thread.join()
        self.pull_plug()

    @property
    def slots(self) -> Slots:
        """The card, to be looked at with the power off or while nothing is written."""
        return Slots(self.card)


@pytest.fixture(scope="module")
def images(tool: Tool) -> Images:
    return build_example(tool)


@pytest.fixture(scope="module")
def pi(images: Images, tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Generator[Powered]:
    """The device, at its first boot of 1.0.0, with the card that was flashed for it."""
    folder = tmp_path_factory.mktemp("pi")
    (folder / "password").write_text(PASSWORD)
    done = tool.run(
        "flash", images.out("1.0.0"), "--to", folder / "flashed",
        "--hostname", "robin", "--password-file", folder / "password",
    )  # fmt: skip
    assert done.code == 0, done.err
    copy_sparse(folder / "flashed", folder / "card", CARD)
    with Powered(folder / "flashed", folder / "card") as machine:
        machine.live()
        try:
            yield machine
        finally:
            machine.die()


@pytest.fixture(scope="module")
def device(pi: Powered) -> Guest:
    return Guest(pi, pi.card, PASSWORD)


def up(device: Guest, pi: Powered, slot: str) -> None:
    """Wait until the page says that the system of this slot is good."""

    def good() -> bool | None:
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            if device.health()["system"]["state"] in ("good", "committed") and device.overview()["slot"] == slot:
                return True
        return None

    try:
        wait(good, PATIENCE)
    except TimeoutError as error:
        raise MachineError(f"slot {slot} is not up:\n{pi.said[-2000:]}\n{pi.console[-4000:]}") from error


def test_its_page(device: Guest, pi: Powered) -> None:
    up(device, pi, "a")
    overview = device.overview()
    assert (overview["hostname"], overview["image"]["board"]) == ("robin", "rpi")
    assert overview["slot"] == "a"
    beyond = CARD - (pi.card.parent / "flashed").stat().st_size
    assert overview["data"]["total"] > beyond * 0.9 > 512 << 20, "data did not grow over the card"
    assert pi.slots.state.active is Slot.A
    assert [one.partition for one in pi.boots] == [2]


def test_a_good_update(device: Guest, pi: Powered, tool: Tool, images: Images) -> None:
    target = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{pi.port(80)}/"
    done = tool.run("update", target, "--bundle", images.bundle("1.1.0"), env=images.environment, within=PATIENCE)
    assert done.code == 0, f"{done.out}{done.err}\n{pi.console[-3000:]}"
    assert "version 1.1.0 is committed in slot b" in done.out
    assert [(one.partition, one.tryboot) for one in pi.boots] == [(2, False), (3, True)]
    assert "the next boot is the trial's" in pi.said
    slots = tool.run("slots", f"{ADDRESS}:{pi.port(80)}", "--json", env=images.environment)
    assert json.loads(slots.out)["active"] == "b"
    state = pi.slots.state
    assert (state.active, state.trial) == (Slot.B, None)
    assert state.good == frozenset(Slot)


def test_a_plug_that_is_pulled_in_the_middle_of_an_update(
    device: Guest, pi: Powered, tool: Tool, images: Images
) -> None:
    before = pi.slots.state.active
    up(device, pi, before.value)
    target = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{pi.port(80)}/"
    with tool.start("update", target, "--bundle", images.bundle("1.2.0"), env=images.environment) as sending:

        def writing() -> bool | None:
            with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
                if device.ask("GET", "/update").json()["job"]["done"] > 8 << 20:
                    return True
            return None

        try:
            wait(writing, PATIENCE)
        finally:
            sending.kill()
    pi.die()
    state = pi.slots.state
    assert (state.active, state.trial) == (before, None)
    assert before.other not in state.good
    pi.live()
    up(device, pi, before.value)
    assert pi.boots[-1].partition == autoboot.PARTITIONS[before]


def test_a_bad_update_goes_back(device: Guest, pi: Powered, tool: Tool, images: Images) -> None:
    target = f"http://ovenbird:{PASSWORD}@{ADDRESS}:{pi.port(80)}/"
    done = tool.run("update", target, "--bundle", images.bundle("1.2.0"), env=images.environment, within=PATIENCE)
    assert done.code != 0
    assert "rolled back" in f"{done.out}{done.err}"
    up(device, pi, "b")
    assert [(one.partition, one.tryboot) for one in pi.boots][-2:] == [(2, True), (3, False)]
    assert pi.slots.state.failed == {Slot.A}
