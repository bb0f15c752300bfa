"""The decision over a boot, with the real selector on a real file system, and all that may go wrong around it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ovenbird_device.format.selector import ATTEMPTS, Slot, State
from ovenbird_device.health import history, network, report
from ovenbird_device.health.check import Check, Look
from ovenbird_device.health.judge import Judge, disarm
from ovenbird_device.slots import files
from ovenbird_device.slots.manage import Content, Slots
from ovenbird_device.update import record

from .conftest import HASHES, Device
from .test_watch import Scripted, Sleeps

ON_TRIAL = State(trial=Slot.B, tries=2)
LOG = b"[    1.0] something went wrong\n"


class Court:
    """A judge with its surroundings in a folder."""

    def __init__(self, device: Device, running: Slot, *, trial: bool) -> None:
        self.device = device
        self.slots = device.slots(running, trial=trial)
        self.restarts = 0
        self.folder = device.folder

    def restart(self) -> None:
        self.restarts += 1

    def judge(
        self,
        essential: Sequence[Check],
        further: Sequence[Check] = (),
        *,
        seconds: float = 60.0,
        slots: Slots | None = None,
    ) -> report.Health:
        return asyncio.run(
            Judge(
                slots or self.slots,
                essential,
                further,
                time.monotonic() + seconds,
                self.restart,
                hold=0.1,
                linger=0.5,
                state=self.folder / "health.json",
                trials=self.folder / "trials",
                network_note=self.folder / "network-before.json",
                guard=self.folder / "guard",
                look_around=_works,
                journal=lambda boot: LOG if boot == 0 else b"of the boot before",
            ).boot()
        )

    @property
    def trials(self) -> list[report.Trial]:
        return report.trials(self.folder / "trials")


async def _works() -> network.Network:
    return network.Network(network.Family("gateway", "eth0", "10.0.2.2"))


@pytest.fixture
def trial(device: Device) -> Court:
    """Slot b runs on trial."""
    device.arm(ON_TRIAL)
    court = Court(device, Slot.B, trial=True)
    armed = record.Last(id="1", outcome="armed", slot="b", version="2", before="1", bundle="digest")
    record.note(device.folder, armed)
    files.save(device.folder / "slots.json", {Slot.B: Content(HASHES[Slot.B], "2", "test", "digest")})
    return court


GOOD, BAD = Scripted("good", [True]), Scripted("bad", [False])


def test_all_hold_and_the_slot_is_committed(trial: Court) -> None:
    said = trial.judge([Scripted("agent", [True])], [Scripted("late", [False, False, True])])
    assert said.state == "committed"
    assert trial.slots.state() == State(active=Slot.B, good=frozenset(Slot))
    assert trial.restarts == 0
    (kept,) = trial.trials
    assert (kept.outcome, kept.slot, kept.version, kept.bundle) == ("committed", "b", "2", "digest")
    assert [(check.name, check.state) for check in kept.checks] == [("agent", "ok"), ("late", "ok")]
    last = record.last(trial.folder)
    assert last is not None
    assert last.outcome == "committed"
    assert report.state(trial.folder / "health.json") is not None


def test_one_that_does_not_hold_ends_in_the_old_slot(trial: Court) -> None:
    said = trial.judge([Scripted("agent", [True])], [Scripted("bad", [False])], seconds=0.5)
    assert said.state == "rolling-back"
    assert said.reason == "bad: "
    assert trial.slots.state() == State(failed=frozenset({Slot.B}))
    assert trial.restarts == 1
    (kept,) = trial.trials
    assert (kept.outcome, kept.reason, kept.hash) == ("rolled-back", "bad: ", HASHES[Slot.B])
    assert (trial.folder / "trials/0001" / kept.log).read_bytes() == LOG
    last = record.last(trial.folder)
    assert last is not None
    assert (last.outcome, last.reason, last.message) == ("rolled-back", "health", "bad: ")
    assert record.failed(trial.folder) == ("digest",)


def test_verdicts_are_kept_for_people(trial: Court) -> None:
    trial.judge([BAD], seconds=0.3)
    (verdict,) = history.read(trial.folder, 10)
    assert (verdict.slot, verdict.version, verdict.trial, verdict.state) == ("b", "2", True, "rolling-back")
    assert verdict.reason == "bad: "
    assert verdict.boot
    assert verdict.after_s > 0


def test_one_that_never_ends_does_not_keep_it_from_the_deadline(trial: Court) -> None:
    begin = time.monotonic()
    assert trial.judge([Sleeps("stuck", [], timeout_s=1000)], seconds=0.5).state == "rolling-back"
    assert time.monotonic() - begin < 500, "the check's own end was waited for"
    assert trial.restarts == 1


def test_the_selector_is_told_before_anything_else(trial: Court) -> None:
    states: list[State] = []

    class Sees(Court):
        def restart(self) -> None:
            states.append(self.slots.state())

    Sees(trial.device, Slot.B, trial=True).judge([BAD], seconds=0.3)
    assert states == [State(failed=frozenset({Slot.B}))]


def test_data_that_takes_nothing_keeps_nobody_from_going_back(trial: Court) -> None:
    """A file where the folder of trials should be, and folders where files should be: nothing can be kept."""
    for name in ("update.json", "failed.json", "health.json", "network-before.json"):
        (trial.folder / name).unlink(missing_ok=True)
        (trial.folder / name).mkdir()
        (trial.folder / f"{name}.new").mkdir()
    (trial.folder / "trials").write_text("")
    assert trial.judge([BAD], seconds=0.3).state == "rolling-back"
    assert trial.restarts == 1
    assert trial.slots.state().failed == {Slot.B}


def test_data_that_takes_nothing_keeps_nobody_from_committing(trial: Court) -> None:
    (trial.folder / "trials").write_text("")
    (trial.folder / "network-before.json").mkdir()
    assert trial.judge([GOOD]).state == "committed"
    assert trial.slots.state().active is Slot.B


def test_a_selector_that_cannot_be_written_goes_back_by_counting(trial: Court) -> None:
    trial.device.files["select"].write_bytes(bytes(8 << 20))
    assert trial.judge([GOOD], seconds=0.5).state == "rolling-back"
    assert trial.restarts == 1


def test_committed_by_hand_meanwhile(trial: Court) -> None:
    class Commits(Scripted):
        async def look(self) -> Look:
            trial.slots.commit()
            return Look(False)

    assert trial.judge([Commits("hand", [])], seconds=30).state == "committed"
    assert trial.restarts == 0
    assert trial.slots.state().active is Slot.B


def test_whoever_sent_it_commits_by_hand(trial: Court) -> None:
    armed = record.Last(id="1", outcome="armed", slot="b", trial_only=True)
    record.note(trial.folder, armed)
    assert trial.judge([GOOD]).state == "waiting"
    assert trial.slots.state() == ON_TRIAL
    assert trial.restarts == 0


def test_even_then_an_unhealthy_one_goes_back(trial: Court) -> None:
    record.note(trial.folder, record.Last(id="1", outcome="armed", slot="b", trial_only=True))
    assert trial.judge([BAD], seconds=0.3).state == "rolling-back"


def test_a_normal_boot_gets_its_attempts_back_by_the_essential_checks_alone(device: Device) -> None:
    device.arm(State(attempts=2))
    court = Court(device, Slot.A, trial=False)
    said = court.judge([Scripted("agent", [False, True])], [Scripted("cable", [False])])
    assert said.state == "good"
    assert [(check.name, check.state) for check in said.checks] == [("agent", "ok"), ("cable", "failing")]
    assert court.slots.state() == State(attempts=ATTEMPTS)
    assert court.restarts == 0
    assert court.trials == []


def test_what_a_normal_boot_did_not_have_at_once_may_come(device: Device) -> None:
    court = Court(device, Slot.A, trial=False)
    said = court.judge([GOOD], [Scripted("cable", [False, False, True]), Scripted("never", [False])])
    assert [(check.name, check.state) for check in said.checks] == [
        ("good", "ok"),
        ("cable", "ok"),
        ("never", "failing"),
    ]


def test_what_was_found_is_told_with_its_time(device: Device) -> None:
    before = time.monotonic()
    court = Court(device, Slot.A, trial=False)
    told: list[report.Health | None] = []

    class Looks(Scripted):
        async def look(self) -> Look:
            told.append(report.state(court.folder / "health.json"))
            return await super().look()

    court.judge([GOOD], [Looks("cable", [False]), Sleeps("stuck", [], timeout_s=1000)])
    kept = report.state(court.folder / "health.json")
    assert kept is not None
    assert (told[0] is not None and told[0].watching, kept.watching) == (True, False)
    good, cable, stuck = kept.checks
    for check in (good, cable):
        assert check.at_s is not None
        assert before - 0.1 < check.at_s <= kept.updated_s
    assert (stuck.state, stuck.at_s) == ("waiting", None)


def test_the_trial_of_the_other_slot_is_none_of_a_normal_boots_business(device: Device) -> None:
    device.arm(State(trial=Slot.B, tries=3, attempts=1))
    court = Court(device, Slot.A, trial=False)
    assert court.judge([GOOD]).state == "good"
    assert court.slots.state() == State(trial=Slot.B, tries=3)


def test_a_slot_chosen_in_the_menu_changes_nothing(device: Device) -> None:
    device.arm(State(attempts=3))
    court = Court(device, Slot.B, trial=False)
    assert court.judge([GOOD]).state == "visiting"
    assert court.slots.state() == State(attempts=3)


def test_a_trial_that_was_committed_before_its_service_started_again(device: Device) -> None:
    device.arm(State(active=Slot.B, good=frozenset(Slot)))
    court = Court(device, Slot.B, trial=True)
    assert court.judge([GOOD]).state == "good"


def test_a_trial_that_never_came_up_is_put_on_record_once(device: Device) -> None:
    device.arm(State(failed=frozenset({Slot.B})))
    court = Court(device, Slot.A, trial=False)
    record.note(device.folder, record.Last(id="1", outcome="armed", slot="b", version="2", bundle="digest"))
    files.save(device.folder / "slots.json", {Slot.B: Content(HASHES[Slot.B], "2", "test", "digest")})
    for _ in range(2):
        assert court.judge([GOOD]).state == "good"
    (kept,) = court.trials
    assert (kept.outcome, kept.slot, kept.hash, kept.version) == ("lost", "b", HASHES[Slot.B], "2")
    assert (court.folder / "trials/0001" / kept.log).read_bytes() == b"of the boot before"
    last = record.last(court.folder)
    assert last is not None
    assert (last.outcome, last.reason) == ("rolled-back", "lost")
    assert record.failed(court.folder) == ("digest",)


def test_few_trials_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    for number in range(9):
        report.keep(report.Trial(number=0, outcome="rolled-back", slot="b", reason=str(number)), b"log", folder)
    assert [(one.number, one.reason) for one in report.trials(folder)] == [
        (number, str(number - 1)) for number in range(5, 10)
    ]


def test_only_the_guard_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "guard"
    for name, ends in (("ovenbird-guard", True), ("something-else", False)):
        with subprocess.Popen(["sh", "-c", "sleep 60; :", name], start_new_session=True) as process:
            while name.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                time.sleep(0.01)  # Its words appear a moment after it has begun.
            note.write_text(f"{process.pid}\n")
            disarm(note)
            if ends:
                assert process.wait(10) < 0
            else:
                time.sleep(0.2)
                assert process.poll() is None
                os.killpg(process.pid, signal.SIGKILL)
    note.write_text("1\n")
    disarm(note)
    note.write_text("rubbish")
    disarm(note)
    disarm(tmp_path / "none")


def test_the_network_of_a_good_boot_is_noted(device: Device) -> None:
    court = Court(device, Slot.A, trial=False)
    court.judge([GOOD])
    assert network.recall(court.folder / "network-before.json") == asyncio.run(_works())
