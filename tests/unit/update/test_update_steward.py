"""Updates through the real steward: its socket, a pipe handed over, events, cuts and resumption, one at a time."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.device.conftest import listens
from tests.updates import Device, System, signer, system

from ovenbird_device.format import settings
from ovenbird_device.format.selector import Slot, State
from ovenbird_device.slots import files
from ovenbird_device.steward import client, protocol
from ovenbird_device.steward.client import StewardError
from ovenbird_device.update import record
from ovenbird_device.update.snapshot import Update

CLOSE = 100_000


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class Steward:
    """A running steward for a device in a file; only `systemctl` is a script that writes down what it was told."""

    device: Device
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self, *extra: str) -> None:
        """Start it."""
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        script = tools / "systemctl"
        script.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/orders"\n')
        script.chmod(0o755)
        note = self.device.note
        (self.folder / "note").write_text(
            f"slot={note.slot}\nroot_device={note.root_device}\nhash={note.hash}\ntrial={int(note.trial)}\n"
        )
        said = settings.UpdateSettings(certificates=(signer().pem,), compatible=("vm",))
        (self.folder / "update.json").write_bytes(settings.dump(said))
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(self.socket)]
        command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--disk", str(self.device.disk)]
        command += ["--note", str(self.folder / "note"), "--settings", str(self.folder / "update.json")]
        command += ["--state", str(self.device.folder), "--image", str(self.device.image), *extra]
        self.process = subprocess.Popen(command, env={**os.environ, "PATH": f"{tools}:/usr/bin:/bin"})
        wait_for(lambda: listens(self.socket))

    @property
    def socket(self) -> Path:
        return self.folder / "steward.sock"

    @property
    def orders(self) -> str:
        """What systemctl was told."""
        file = self.folder / "orders"
        return file.read_text() if file.exists() else ""

    def status(self) -> Update | None:
        """The update as the steward has it."""
        return asyncio.run(client.status(self.socket))

    def wait(self, state: str) -> Update:
        """Wait until the update is in that state."""
        found: list[Update] = []

        def there() -> bool:
            now = self.status()
            found[:] = [now] if now is not None and now.state == state else []
            return bool(found)

        wait_for(there)
        return found[0]

    def send(
        self, order: protocol.Update | protocol.UpdateResume, data: bytes, *, slowly: bool = False
    ) -> list[Update]:
        """Send bytes through a pipe, close it, and follow to the end (or to a pause)."""
        reading, writing = os.pipe()

        def feed() -> None:
            view = memoryview(data)
            with suppress(OSError), open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
                while view:
                    view = view[pipe.write(view[: 5000 if slowly else 1 << 20]) :]

        thread = threading.Thread(target=feed)
        thread.start()

        async def follow() -> list[Update]:
            found: list[Update] = []
            async for update in client.update(self.socket, order, reading):
                found.append(update)
                if update.state == "paused":
                    break
            return found

        try:
            return asyncio.run(follow())
        finally:
            os.close(reading)
            thread.join(20)


@pytest.fixture
def steward(fresh: Device, tmp_path: Path) -> Iterator[Steward]:
    running = Steward(fresh, tmp_path)
    running.start("--idle", "60")
    yield running
    running.process.terminate()
    running.process.wait(10)


def test_an_update_from_the_first_to_the_last_byte(steward: Steward, systems: dict[str, System]) -> None:
    bundle = systems["2.0"].bundle.read_bytes()
    updates = steward.send(protocol.Update(size=len(bundle)), bundle)
    assert updates[0].state == "receiving"
    last = updates[-1]
    assert (last.state, last.slot, last.version, last.before, last.rebooting) == ("armed", "b", "2.0", "1.0", True)
    assert last.received >= len(bundle) - 512
    assert {update.id for update in updates} == {last.id}
    wait_for(lambda: steward.orders == "--no-block --no-wall reboot\n")
    assert steward.device.holds(Slot.B, systems["2.0"])
    status = asyncio.run(client.slots(steward.socket))
    assert (status.trial, status.tries, status.slots[1].version) == ("b", 3, "2.0")
    kept = record.last(steward.device.folder)
    assert kept is not None
    assert (kept.outcome, kept.version, kept.before, kept.slot) == ("armed", "2.0", "1.0", "b")
    assert (steward.device.folder / "update.json").stat().st_mode & 0o777 == 0o640


def test_without_a_reboot(steward: Steward, systems: dict[str, System]) -> None:
    updates = steward.send(protocol.Update(reboot=False, trial_only=True), systems["2.0"].bundle.read_bytes())
    assert (updates[-1].state, updates[-1].rebooting) == ("armed", False)
    assert steward.orders == ""
    kept = record.last(steward.device.folder)
    assert kept is not None
    assert kept.trial_only


def test_a_refusal_reaches_the_sender_and_the_record(steward: Steward, tmp_path: Path) -> None:
    alien = system(tmp_path / "alien", "2.0", by=signer("others"))
    last = steward.send(protocol.Update(), alien.bundle.read_bytes())[-1]
    assert (last.state, last.reason, last.touched) == ("failed", "signature", False)
    assert "stranger" in last.message
    kept = record.last(steward.device.folder)
    assert kept is not None
    assert (kept.outcome, kept.reason) == ("failed", "signature")
    assert steward.device.slots().state() == State()
    assert steward.orders == ""


def test_a_cut_upload_goes_on_where_it_ended(steward: Steward, systems: dict[str, System]) -> None:
    bundle = systems["2.0"].bundle.read_bytes()
    place = 0
    order: protocol.Update | protocol.UpdateResume = protocol.Update(size=len(bundle))
    for cut in (50, CLOSE, CLOSE + 1, len(bundle) - 4000):
        steward.send(order, bundle[place:cut])
        now = steward.wait("paused")
        assert now.received == cut
        assert now.paused_s is not None
        assert 500 < now.paused_s <= 600
        place = cut
        order = protocol.UpdateResume(now.id, cut)
        with pytest.raises(StewardError, match="go on at byte"):
            steward.send(protocol.UpdateResume(now.id, cut - 1), b"x")
    assert steward.send(order, bundle[place:])[-1].state == "armed"
    assert steward.device.holds(Slot.B, systems["2.0"])


def test_a_second_update_has_to_wait_or_the_first_is_aborted(steward: Steward, systems: dict[str, System]) -> None:
    bundle = systems["2.0"].bundle.read_bytes()
    steward.send(protocol.Update(size=len(bundle)), bundle[:CLOSE])
    paused = steward.wait("paused")
    with pytest.raises(StewardError, match="Another update is under way") as caught:
        steward.send(protocol.Update(), bundle)
    assert caught.value.reason == "busy"
    asyncio.run(client.abort(steward.socket))
    now = steward.wait("failed")
    assert (now.id, now.reason, now.touched) == (paused.id, "aborted", True)
    with pytest.raises(StewardError, match="no such upload"):
        steward.send(protocol.UpdateResume(paused.id, CLOSE), bundle[CLOSE:])
    with pytest.raises(StewardError, match="No update is under way"):
        asyncio.run(client.abort(steward.socket))
    wait_for(lambda: steward.status() is not None)
    assert steward.send(protocol.Update(), bundle)[-1].state == "armed"


def test_a_paused_update_keeps_the_steward_alive(fresh: Device, systems: dict[str, System], tmp_path: Path) -> None:
    steward = Steward(fresh, tmp_path)
    steward.start("--idle", "0.3")
    bundle = systems["2.0"].bundle.read_bytes()
    steward.send(protocol.Update(size=len(bundle), reboot=False), bundle[:CLOSE])
    paused = steward.wait("paused")
    time.sleep(1.5)
    assert steward.process.poll() is None
    assert steward.send(protocol.UpdateResume(paused.id, CLOSE), bundle[CLOSE:])[-1].state == "armed"
    assert steward.process.wait(10) == 0


def test_the_agent_may_go_away(steward: Steward, systems: dict[str, System]) -> None:
    """Whoever listens is not needed: the update goes on as long as its pipe does."""
    bundle = systems["2.0"].bundle.read_bytes()
    reading, writing = os.pipe()

    async def begin() -> None:
        following = client.update(steward.socket, protocol.Update(reboot=False), reading)
        await anext(following)

    asyncio.run(begin())
    os.close(reading)
    with open(writing, "wb") as pipe:  # noqa: PTH123 - a descriptor
        pipe.write(bundle)
    assert steward.wait("armed").version == "2.0"


def test_slots_by_hand(steward: Steward, systems: dict[str, System]) -> None:
    bundle = systems["2.0"].bundle.read_bytes()
    with pytest.raises(StewardError, match="holds no system to go back to"):
        asyncio.run(client.slots(steward.socket, protocol.Rollback()))
    steward.send(protocol.Update(reboot=False), bundle)
    status = asyncio.run(client.slots(steward.socket, protocol.Rollback()))
    assert (status.trial, status.slots[1].failed) == ("", True)
    kept = record.last(steward.device.folder)
    assert kept is not None
    assert (kept.outcome, kept.reason) == ("rolled-back", "by-hand")
    assert steward.send(protocol.Update(reboot=False), bundle)[-1].reason == "failed-before"
    status = asyncio.run(client.slots(steward.socket, protocol.Arm(reboot=True)))
    assert (status.trial, status.tries) == ("b", 3)
    assert steward.orders == "--no-block --no-wall reboot\n"
    status = asyncio.run(client.slots(steward.socket, protocol.Commit()))
    assert (status.active, status.trial) == ("a", "b")


def test_an_update_needs_a_pipe(steward: Steward) -> None:
    with pytest.raises(StewardError, match="bring a pipe"):
        asyncio.run(client.ask(steward.socket, protocol.Update()))


def test_a_machine_without_slots(fresh: Device, tmp_path: Path, systems: dict[str, System]) -> None:
    steward = Steward(fresh, tmp_path)
    steward.start("--note", str(tmp_path / "none"))
    try:
        with pytest.raises(StewardError, match="not booted from a slot"):
            asyncio.run(client.slots(steward.socket))
        with pytest.raises(StewardError, match="cannot be updated"):
            steward.send(protocol.Update(), systems["2.0"].bundle.read_bytes())
    finally:
        steward.process.terminate()
        steward.process.wait(10)


def test_an_image_without_certificates_takes_nothing(steward: Steward, systems: dict[str, System]) -> None:
    (steward.folder / "update.json").unlink()
    last = steward.send(protocol.Update(), systems["2.0"].bundle.read_bytes())[-1]
    assert last.reason == "signature"
    assert "accepts no bundles" in last.message


def test_memory_stays_small(tmp_path: Path, systems: dict[str, System], monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 64 MiB at its peak for a bundle that is twice as large as that."""
    from tests import updates

    monkeypatch.setattr(updates, "ROOT", 130 << 20)
    steward = Steward(updates.device(tmp_path / "device", systems["1.0"]), tmp_path)
    large = system(tmp_path / "large", "9.0", root_size=128 << 20)
    steward.start()
    try:
        assert steward.send(protocol.Update(reboot=False), large.bundle.read_bytes())[-1].state == "armed"
        lines = Path(f"/proc/{steward.process.pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        assert peak < 64 * 1024, f"{peak} KiB"
    finally:
        steward.process.terminate()
        steward.process.wait(10)
    assert files.load(steward.device.folder / "update.json", record.Last) is not None
