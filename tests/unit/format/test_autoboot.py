"""The Pi's selector: one sector, under every order of events, with the power cut before or after each write of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ovenbird_device.format import FormatError, autoboot
from ovenbird_device.format.autoboot import Way, booted
from ovenbird_device.format.selector import ATTEMPTS, MOST, Decoded, Slot, State

slots = st.sampled_from(Slot)
some_slots = st.frozensets(slots)


@st.composite
def states(draw: st.DrawFn) -> State:
    active = draw(slots)
    counters = st.integers(0, MOST)
    trial = draw(st.sampled_from([None, active.other]))
    return State(active, trial, draw(counters), draw(counters), draw(some_slots), draw(some_slots))


def firmware(sector: bytes, *, tryboot: bool) -> int:
    """The partition that the firmware boots, by the rules of its documentation: lines in order, filters as they come,
    `#` begins a comment; the last assignment that applies counts.
    """
    applies, partition = True, 0
    for line in sector.decode("ascii").splitlines():
        assert len(line) <= 80, "some firmware reads lines of 80 characters"
        if line.startswith("["):
            applies = {"[all]": True, "[none]": False, "[tryboot]": tryboot}[line]
        elif applies and line.startswith("boot_partition="):
            partition = int(line.partition("=")[2])
    return partition


@given(states())
def test_round_trip_in_one_sector(state: State) -> None:
    sector = autoboot.encode(state)
    assert len(sector) == 512
    assert sector.isascii()
    assert autoboot.decode_one(sector) == state


@given(states())
def test_the_firmware_reads_the_same_out_of_it(state: State) -> None:
    sector = autoboot.encode(state)
    assert firmware(sector, tryboot=False) == autoboot.PARTITIONS[state.active]
    tried = state.trial if state.trial is not None and state.tries else state.active
    assert firmware(sector, tryboot=True) == autoboot.PARTITIONS[tried]


@given(states())
def test_a_firmware_without_the_section_boots_the_active_slot_while_nothing_is_armed(state: State) -> None:
    lines = autoboot.encode(state).decode().splitlines()
    chosen = [line for line in lines if line.startswith("boot_partition=")]
    if not autoboot.armed(state):
        assert chosen == [f"boot_partition={autoboot.PARTITIONS[state.active]}"]


@settings(max_examples=300)
@given(states(), st.integers(0, 511), st.integers(0, 255))
def test_a_byte_that_changed_is_noticed(state: State, at: int, byte: int) -> None:
    damaged = bytearray(autoboot.encode(state))
    if damaged[at] == byte:
        return
    damaged[at] = byte
    with pytest.raises(FormatError):
        autoboot.decode_one(bytes(damaged))
    decoded = autoboot.decode(bytes(damaged), Slot.B)
    assert decoded == Decoded(State(active=Slot.B, good=frozenset({Slot.B})), (0,))


@given(st.binary(max_size=600), slots)
def test_noise_still_decides(noise: bytes, running: Slot) -> None:
    assert autoboot.decode(noise, running).state.active is running


def test_a_good_update() -> None:
    state = State().prepare(Slot.B).arm(Slot.B, autoboot.TRIES)
    state, way = booted(state, Slot.B, tryboot=True)
    assert (way, state.trial, state.tries) == (Way.TRIAL, Slot.B, 0)
    state = state.commit(Slot.B)
    assert booted(state, Slot.B, tryboot=False)[1] is Way.GO
    assert state.good == frozenset(Slot)


def test_a_trial_without_the_flag_has_failed() -> None:
    """The new slot hung, or the plug was pulled: the firmware comes back to the active one and knows nothing."""
    for state in (State().arm(Slot.B, 1), booted(State().arm(Slot.B, 1), Slot.B, tryboot=True)[0]):
        after, way = booted(state, Slot.A, tryboot=False)
        assert (way, after.trial, after.failed) == (Way.GO, None, frozenset({Slot.B}))
        assert firmware(autoboot.encode(after), tryboot=True) == 2


def test_a_committed_slot_that_never_comes_up_falls_back_to_a_good_one() -> None:
    state = State(active=Slot.B, good=frozenset(Slot))
    for _ in range(ATTEMPTS):
        state, way = booted(state, Slot.B, tryboot=False)
        assert way is Way.GO
    state, way = booted(state, Slot.B, tryboot=False)
    assert way is Way.AGAIN
    assert (state.active, state.failed) == (Slot.A, frozenset({Slot.B}))
    assert booted(state, Slot.A, tryboot=False)[1] is Way.GO


def test_without_another_good_slot_nothing_is_given_up() -> None:
    state = State()
    for _ in range(20):
        state, way = booted(state, Slot.A, tryboot=False)
        assert way is Way.GO
    assert state.commit(Slot.A) == State()


def test_the_only_slot_that_the_firmware_found_is_taken() -> None:
    """The active slot's boot partition is gone, so the firmware took the first that can be booted."""
    state, way = booted(State(active=Slot.B, good=frozenset(Slot)), Slot.A, tryboot=False)
    assert (way, state.active) == (Way.GO, Slot.A)


class Device(RuleBasedStateMachine):
    """A Pi with two slots: updates, trials, hangs, health and power cuts in any order; the firmware reads the bytes."""

    @initialize()
    def make(self) -> None:
        self.sector = autoboot.encode(State())
        self.bootable = {Slot.A}
        """Slots whose content is complete and verified."""
        self.content = {Slot.A: 1, Slot.B: 0}
        self.given_up: set[int] = set()
        self.number = 1
        self.running: Slot | None = None
        self.flag = False

    @property
    def state(self) -> State:
        return autoboot.decode_one(self.sector)

    def save(self, state: State, lands: bool) -> bool:
        """One sector: it lands, or the power was gone before."""
        if lands:
            self.sector = autoboot.encode(state)
        else:
            self.running = None
        return lands

    @precondition(lambda self: self.running is not None)
    @rule(prepared=st.booleans(), finish=st.booleans(), armed=st.booleans(), flag=st.booleans())
    def update(self, prepared: bool, finish: bool, armed: bool, flag: bool) -> None:
        target = self.state.active.other
        if target is self.running or not self.save(self.state.prepare(target), prepared):
            return
        self.bootable.discard(target)
        self.number += 1
        self.content[target] = self.number
        self.running = None
        if finish:
            self.bootable.add(target)
            self.save(self.state.arm(target, autoboot.TRIES), armed)
            self.flag = armed and flag

    @rule(hangs=st.booleans(), lands=st.booleans())
    def power_on(self, hangs: bool, lands: bool) -> None:
        """The firmware, which forgets the flag, then the initrd; either may come to nothing."""
        flag, self.flag = self.flag, False
        partition = firmware(self.sector, tryboot=flag)
        chosen = next(slot for slot in Slot if autoboot.PARTITIONS[slot] == partition)
        if chosen not in self.bootable:  # "the default partition, which is the first bootable FAT partition"
            chosen = min(self.bootable)
        self.running = None
        if hangs:
            return
        before = self.state
        after, way = booted(before, chosen, tryboot=flag)
        if not self.save(after, lands):
            return
        if before.trial is not None and way is not Way.TRIAL:
            self.given_up.add(self.content[before.trial])
        if way is Way.TRIAL:
            assert self.content[chosen] not in self.given_up, "a failed slot was tried again"
        if way is Way.AGAIN:
            assert after.active is not chosen
            assert after.active in after.good, "fell back to a slot that was never committed"
            return
        self.running = chosen

    @precondition(lambda self: self.running is not None)
    @rule(lands=st.booleans())
    def healthy(self, lands: bool) -> None:
        assert self.running is not None
        if self.running in (self.state.active, self.state.trial):
            self.save(self.state.commit(self.running), lands)

    @precondition(lambda self: self.running is not None)
    @rule(lands=st.booleans())
    def unhealthy(self, lands: bool) -> None:
        state = self.state
        if state.trial is not None and state.trial is self.running and self.save(state.rollback(), lands):
            self.given_up.add(self.content[state.trial])
        self.running = None

    @invariant()
    def the_active_slot_is_whole(self) -> None:
        if hasattr(self, "bootable"):
            assert self.state.active in self.bootable
            assert self.state.good <= self.bootable
            assert firmware(self.sector, tryboot=False) == autoboot.PARTITIONS[self.state.active]


Device.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestDevice = Device.TestCase
