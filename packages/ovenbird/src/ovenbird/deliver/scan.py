"""Which devices are there: those that announce themselves, and Raspberry Pis among the neighbours; each is asked.

A device with several addresses is found several times; its own `id` tells that it is one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ovenbird.deliver import mdns, neighbours
from ovenbird.deliver.console import Console, Glance
from ovenbird.deliver.link import DeviceError
from ovenbird.deliver.logs import harmless
from ovenbird.deliver.target import Target, on_port
from ovenbird.errors import NetworkError, OvenbirdError

WAIT = 2.0
"""Seconds to listen: devices answer within one, and a question is repeated after one."""
COLUMNS = ("device", "name", "version", "slot", "health", "model", "addresses")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A device, or what may be one. `target` is what the other verbs take. `trouble` is why there is no `glance`."""

    target: str
    hostname: str = ""
    addresses: tuple[str, ...] = ()
    hardware: str = ""
    raspberry_pi: bool = False
    announced: bool = False
    glance: Glance | None = None
    trouble: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is an Ovenbird device, as far as it can be told."""
        return self.glance is not None or self.announced


@dataclass(frozen=True, slots=True)
class _Candidate:
    address: str
    port: int
    hostname: str = ""
    hardware: str = ""

    @property
    def place(self) -> str:
        """As a user writes it."""
        return on_port(self.address, self.port)


@dataclass(frozen=True, slots=True)
class _Asked:
    candidate: _Candidate
    glance: Glance | None
    trouble: str


def scan(wait: float = WAIT, interfaces: Sequence[str] = (), port: int = 80) -> list[Found]:
    """Look around for `wait` seconds, on these interfaces (names or addresses) or on all. Neighbours are asked on
    `port`. Raises UsageError for an interface that is not there, HostError without multicast.
    """
    answers: queue.Queue[_Asked] = queue.Queue()
    threads: list[threading.Thread] = []

    def ask(candidate: _Candidate) -> None:
        thread = threading.Thread(target=lambda: answers.put(_asked(candidate)), daemon=True)
        threads.append(thread)
        thread.start()

    def announced(one: mdns.Announced) -> None:
        for address in one.addresses:
            ask(_Candidate(address, one.port, hostname=one.hostname))

    asked: set[str] = set()

    def look_at_neighbours() -> None:
        for one in _neighbours(interfaces):
            if one.address not in asked:
                asked.add(one.address)
                ask(_Candidate(one.address, port, hardware=one.hardware))

    look_at_neighbours()
    mdns.listen(wait, interfaces, announced)
    look_at_neighbours()  # Those who answered are known now.
    for thread in threads:
        thread.join()
    return sorted(_merged(list(_drained(answers))), key=lambda one: (not one.ours, one.hostname, one.target))


def _neighbours(interfaces: Sequence[str]) -> list[neighbours.Neighbour]:
    try:
        return neighbours.raspberry_pis(mdns.names_of(interfaces))
    except OvenbirdError:
        return []  # Without `ip` there is still what announces itself.


def _asked(candidate: _Candidate) -> _Asked:
    target = Target(candidate.place, candidate.address, candidate.port)
    try:
        with Console(target) as console:
            return _Asked(candidate, console.glance(), "")
    except NetworkError as error:
        return _Asked(candidate, None, str(error).removeprefix(f"{target.name} "))
    except DeviceError as error:
        return _Asked(candidate, None, str(error).removeprefix(f"{target.name}: "))


def _drained(answers: queue.Queue[_Asked]) -> Iterator[_Asked]:
    while not answers.empty():
        yield answers.get()


def _merged(answers: Sequence[_Asked]) -> Iterator[Found]:
    """One for each device: what has one id, else one host name, else one hardware address."""
    ids: dict[str, str] = {}
    for one in answers:
        if one.glance:
            ids[one.candidate.hostname] = ids[one.candidate.place] = one.glance.id or one.glance.boot_id
    ids.pop("", None)
    groups: dict[str, list[_Asked]] = {}
    for one in answers:
        place = one.candidate
        key = ids.get(place.place) or ids.get(place.hostname) or place.hostname or place.hardware
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        yield _found(group)


def _found(group: Sequence[_Asked]) -> Found:
    group = sorted(group, key=lambda one: (_link_local(one), ":" in one.candidate.address, one.candidate.address))
    best = next((one for one in group if one.glance is not None), group[0])
    hostname = next((one.candidate.hostname for one in group if one.candidate.hostname), "")
    if best.glance is not None:
        hostname = hostname or best.glance.hostname
    hardware = next((one.candidate.hardware for one in group if one.candidate.hardware), "")
    return Found(
        target=best.candidate.place,
        hostname=hostname,
        addresses=tuple(dict.fromkeys(one.candidate.address for one in group)),
        hardware=hardware,
        raspberry_pi=bool(hardware),
        announced=any(one.candidate.hostname for one in group),
        glance=best.glance,
        trouble=best.trouble,
    )


def _link_local(one: _Asked) -> bool:
    """Whether it is an address that leads nowhere but on the same wire, where another one will do as well."""
    return one.candidate.address.startswith(("169.254.", "fe80:"))


def row(one: Found) -> list[str]:
    """A line for people, in the order of COLUMNS."""
    shown = one.glance
    if shown is None:
        what = one.trouble if one.announced else "a Raspberry Pi, not an Ovenbird device"
        return [harmless(one.hostname or one.target), "", "", "", harmless(what), "", ", ".join(one.addresses)]
    texts = (one.hostname or one.target, shown.name, shown.version, shown.slot, shown.health, shown.model)
    return [*map(harmless, texts), ", ".join(one.addresses)]
