"""The selector: DESIGN's invariants under every order of events, and at every crash point of its two copies."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ovenbird_device.format import grubenv, selector
from ovenbird_device.format.selector import Choice, SelectorError, Slot, State, Target

slots = st.sampled_from(Slot)
some_slots = st.frozensets(slots)


@st.composite
def states(draw: st.DrawFn) -> State:
    active = draw(slots)
    trial = draw(st.sampled_from([None, active.other]))
    counters = st.integers(0, selector.MOST)
    rescue = trial is None and draw(st.booleans())
    return State(active, trial, draw(counters), draw(counters), draw(some_slots), draw(some_slots), rescue)


@given(states())
def test_encoding_round_trip(state: State) -> None:
    block = selector.encode(state)
    assert selector.decode_one(block) == state
    assert selector.decode((block, block)) == selector.Decoded(state, ())


def test_every_state_has_an_encoding_of_the_same_shape() -> None:
    shapes = {
        (len(block), block.count(b"\n"))
        for active, tries, attempts in product(Slot, range(10), range(10))
        for trial in (None, active.other)
        for block in [selector.encode(State(active, trial, tries, attempts))]
    }
    assert len(shapes) == 1


@given(st.binary(max_size=1200), st.binary(max_size=1200), slots)
def test_noise_in_both_copies_still_decides(one: bytes, two: bytes, running: Slot) -> None:
    decoded = selector.decode((one, two), running)
    assert decoded.state.active is running
    assert decoded.stale == (0, 1)


@settings(max_examples=300)
@given(states(), states(), st.integers(0, 1023), st.integers(0, 255))
def test_one_damaged_copy_never_hides_both_states(old: State, new: State, at: int, byte: int) -> None:
    """Whatever byte of the first copy changes: the state is decodable, and nobody boots on trial what was not armed."""
    damaged = bytearray(selector.encode(new))
    damaged[at] = byte
    decoded = selector.decode((bytes(damaged), selector.encode(old)))
    assert decoded.state.trial is not decoded.state.active


@given(states(), states())
def test_every_crash_point_of_a_write_gives_the_old_or_the_new_state(old: State, new: State) -> None:
    """One sector lands or not; the second copy is written after the first has landed; a torn sector is unreadable."""
    before, after = selector.encode(old), selector.encode(new)
    assert before[512:] == after[512:]
    torn = b"\xff" * 512 + before[512:]
    for copies in ((before, before), (after, before), (after, torn), (after, after), (torn, before)):
        assert selector.decode(copies).state in (old, new)


@pytest.mark.parametrize(
    "change",
    [b"ovenbird=2", b"active=c", b"trial=a", b"tries=x", b"attempts=", b"good_a=2", b"failed_b=-", b"# active=a"],
)
def test_a_copy_that_grub_would_not_accept_is_not_decoded(change: bytes) -> None:
    block = selector.encode(State())
    name = change.split(b"=")[0].removeprefix(b"# ") + b"="
    lines = [change if line.startswith(name) else line for line in block.rstrip(b"#").splitlines()]
    assert selector.decode((b"\n".join(lines).join([b"", b"\n"]).ljust(grubenv.SIZE, b"#"), block)).stale == (0,)


def test_a_good_update_from_first_to_last() -> None:
    state = State().prepare(Slot.B)
    assert state.good == {Slot.A}
    state = state.arm(Slot.B)
    state, choice = state.boot()
    assert choice == Choice(Target.B, trial=True)
    assert state.tries == selector.TRIES - 1
    state = state.commit(Slot.B)
    assert state == State(active=Slot.B, good=frozenset(Slot))
    assert state.boot()[1] == Choice(Target.B)
    assert state.rollback().boot()[1] == Choice(Target.A)


def test_a_bad_update_goes_back_and_is_not_tried_again() -> None:
    state = State().arm(Slot.B, 2)
    choices: list[Choice] = []
    for _ in range(6):
        state, choice = state.boot()
        choices.append(choice)
    assert choices == [Choice(Target.B, trial=True)] * 2 + [Choice(Target.A)] * 4
    assert state.failed == {Slot.B}


def test_a_committed_slot_that_never_comes_up_falls_back_once() -> None:
    state = State(active=Slot.B, good=frozenset(Slot))
    targets: list[Target] = []
    for _ in range(20):
        state, choice = state.boot()
        targets.append(choice.target)
    assert targets == [Target.B] * selector.ATTEMPTS + [Target.A] * (20 - selector.ATTEMPTS)
    assert state.boot(rescue=True)[1].target is Target.RESCUE


def test_rescue_is_started_once_when_it_is_asked_for() -> None:
    state, choice = State(attempts=4).ask_rescue().boot(rescue=True)
    assert choice == Choice(Target.RESCUE)
    assert state == State(attempts=4)
    assert State(attempts=4).ask_rescue().boot() == State(attempts=4).boot()


def test_a_trial_comes_before_rescue() -> None:
    with pytest.raises(SelectorError):
        State().arm(Slot.B).ask_rescue()
    assert State().ask_rescue().arm(Slot.B) == State().arm(Slot.B)
    assert State().ask_rescue().commit(Slot.A).rescue


def test_without_another_whole_slot_nothing_is_given_up() -> None:
    state = State()
    for _ in range(20):
        state, choice = state.boot()
        assert choice == Choice(Target.A)
    assert state.boot(rescue=True)[1] == Choice(Target.RESCUE)
    assert state.commit(Slot.A) == State()


@pytest.mark.parametrize(
    ("present", "rescue", "target"),
    [
        ((Slot.A, Slot.B), False, Target.A),
        ((Slot.B,), False, Target.B),
        ((Slot.B,), True, Target.RESCUE),
        ((), True, Target.RESCUE),
        ((), False, Target.NONE),
    ],
)
def test_a_slot_without_a_boot_partition_is_skipped(present: tuple[Slot, ...], rescue: bool, target: Target) -> None:
    assert State().boot(present, rescue=rescue)[1].target is target


def test_events_that_make_no_sense_change_nothing() -> None:
    state = State()
    events: tuple[Callable[[], State], ...] = (
        lambda: state.prepare(Slot.A),
        lambda: state.arm(Slot.A),
        lambda: state.arm(Slot.B, 0),
        lambda: state.arm(Slot.B, 10),
        lambda: state.commit(Slot.B),
        state.rollback,
        lambda: State(Slot.A, Slot.A),
    )
    for event in events:
        with pytest.raises(SelectorError):
            event()


def test_a_copy_that_is_late_would_call_a_half_written_slot_good() -> None:
    """Why `prepare` must have landed in both copies before a byte is overwritten."""
    committed = State(active=Slot.B, good=frozenset(Slot))
    prepared = committed.prepare(Slot.A)
    late = selector.decode((b"", selector.encode(committed))).state
    assert Slot.A in late.good
    assert Slot.A not in selector.decode((b"", selector.encode(prepared))).state.good


class Device(RuleBasedStateMachine):
    """A device with two slots: writes, trials, health and power cuts in any order."""

    @initialize()
    def make(self) -> None:
        self.copies = [selector.encode(State())] * 2
        self.whole = {Slot.A}
        """Slots whose content is complete and verified: what the device really holds."""
        self.content = {Slot.A: 1, Slot.B: 0}
        self.given_up: set[int] = set()
        self.number = 1
        self.running: Slot | None = None
        self.on_trial = False

    @property
    def state(self) -> State:
        return selector.decode((self.copies[0], self.copies[1])).state

    def save(self, state: State, cut: int = 2) -> None:
        for index in range(cut):
            self.copies[index] = selector.encode(state)

    @precondition(lambda self: self.running is not None)
    @rule(finish=st.booleans(), cut=st.integers(0, 2), armed=st.integers(0, 2), tries=st.integers(1, 9))
    def update(self, finish: bool, cut: int, armed: int, tries: int) -> None:
        """Overwrite the slot that is not active, if the rules allow; the power may fail anywhere."""
        target = self.state.active.other
        if target is self.running:
            return
        prepared = self.state.prepare(target)
        self.save(prepared, cut)
        if cut < 2:  # Not one byte is overwritten before both copies know of it.
            self.running = None
            return
        self.whole.discard(target)
        self.number += 1
        self.content[target] = self.number
        if not finish:
            self.running = None
            return
        self.whole.add(target)
        self.save(self.state.arm(target, tries), armed)
        self.running = None

    @rule(damaged=st.sampled_from([None, 0, 1]), saves=st.integers(0, 2), rescue=st.booleans())
    def power_on(self, damaged: int | None, saves: int, rescue: bool) -> None:
        """What grub.cfg does; the power may fail while it saves, and then nothing is booted."""
        if damaged is not None:
            self.copies[damaged] = b"\0" * 1024
        before = self.state
        after, choice = before.boot(self.whole, rescue=rescue)
        if saves < 2:
            self.save(after, saves)
            self.running = None
            return
        self.save(after)
        assert choice.target is not Target.NONE, "there is always something to boot"
        self.running = None if choice.target is Target.RESCUE else Slot(choice.target.value)
        self.on_trial = choice.trial
        if self.running is not None:
            assert self.running in self.whole, "an unfinished slot was booted"
            if choice.trial:
                assert self.content[self.running] not in self.given_up, "a failed slot was tried again"
                assert before.tries > after.tries
        if before.trial is not None and after.trial is None:
            self.given_up.add(self.content[before.trial])

    @precondition(lambda self: self.running is not None)
    @rule(cut=st.integers(0, 2))
    def healthy(self, cut: int) -> None:
        assert self.running is not None
        state = self.state
        if self.running in (state.active, state.trial):
            self.save(state.commit(self.running), cut)

    @precondition(lambda self: self.running is not None)
    @rule()
    def unhealthy(self) -> None:
        state = self.state
        if state.trial is not None and state.trial is self.running:
            self.given_up.add(self.content[state.trial])
            self.save(state.rollback())
        self.running = None

    @invariant()
    def the_active_slot_is_whole(self) -> None:
        if hasattr(self, "whole"):
            assert self.state.active in self.whole
            assert self.state.good <= self.whole


Device.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestDevice = Device.TestCase
