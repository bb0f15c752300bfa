"""The same for several devices side by side: each has its own result, one that fails does not hold up the others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from ovenbird.deliver.access import Ask
from ovenbird.deliver.target import Target, parse, public
from ovenbird.errors import ExitCode, NetworkError, OvenbirdError, UsageError

AT_ONCE = 16
_Value = TypeVar("_Value")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Result(Generic[_Value]):
    """What became of one device: a value, or an error. `name` is how the user called it."""

    name: str
    value: _Value | None = None
    error: OvenbirdError | None = None

    @property
    def code(self) -> ExitCode:
        """The exit code of this one alone."""
        return ExitCode.OK if self.error is None else self.error.exit_code

    @property
    def trouble(self) -> str:
        """The error without the device's name in front."""
        said = "" if self.error is None else str(self.error)
        return said.removeprefix(f"{self.name}: ").removeprefix(f"{self.name} ")


def each(texts: Sequence[str], work: Callable[[Target, Ask], _Value], ask: Ask) -> list[Result[_Value]]:
    """Do the work for what the user wrote, in that order. The user is asked for one password at a time.

    Raises UsageError for what names no device, or names one twice, before anything is done.
    """
    polite = in_turn(ask)

    def one(place: Target | Unknown) -> Result[_Value]:
        if isinstance(place, Unknown):
            return Result(place.name, error=place.error)
        try:
            return Result(place.name, work(place, polite))
        except OvenbirdError as error:
            return Result(place.name, error=error)

    return side_by_side(find(texts), one)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name that nobody on the network knows."""

    name: str
    error: NetworkError


def find(texts: Sequence[str]) -> list[Target | Unknown]:
    """The devices that the user means. Raises UsageError for what names no device, or names one twice."""
    found = side_by_side(texts, _found)
    distinct([one for one in found if isinstance(one, Target)])
    return found


def _found(text: str) -> Target | Unknown:
    try:
        return parse(text)
    except NetworkError as error:
        return Unknown(public(text), error)


def side_by_side(items: Sequence[_Item], work: Callable[[_Item], _Value]) -> list[_Value]:
    """The results in the order of the items. Raises the first error that the work raises.

    Nobody waits for the threads after Ctrl-C: what they wait for may take a quarter of an hour.
    """
    if len(items) == 1:
        return [work(items[0])]
    gate = threading.Semaphore(AT_ONCE)
    futures: list[Future[_Value]] = []

    def run(item: _Item, future: Future[_Value]) -> None:
        with gate:
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)

    for item in items:
        future: Future[_Value] = Future()
        futures.append(future)
        threading.Thread(target=run, args=(item, future), daemon=True).start()
    return [future.result() for future in futures]


def distinct(targets: Sequence[Target]) -> None:
    """Raises UsageError for a device that is named twice."""
    places = Counter((target.host, target.port) for target in targets)
    for target in targets:
        if places[target.host, target.port] > 1:
            raise UsageError(f"{target.name} is named twice")


def in_turn(ask: Ask) -> Ask:
    """`ask`, for one device at a time."""
    turn = threading.Lock()

    def asked(target: Target) -> Target:
        with turn:
            return ask(target)

    return asked


def exit_code(codes: Iterable[int]) -> int:
    """0 if all went well; a device that could not be reached (4) outweighs one that said no (1)."""
    found = set(codes)
    return int(ExitCode.NETWORK) if int(ExitCode.NETWORK) in found else max(found, default=0)
