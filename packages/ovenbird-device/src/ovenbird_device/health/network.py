"""The network: one that worked before an update must work after it.

What worked is noted in the old system, when it was found healthy and again when it goes down; a trial compares. Not
addresses are compared (leases change) but what they are for: with a default gateway that answered, there must be one
that answers; on a network without a gateway, there must be an address again. Whether the gateway answers is seen in the
kernel's table of neighbours after a datagram was sent its way: that needs no answer from any service, no ping program,
and works through a router that drops pings.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from ..slots import files
from .check import Look, run_program

NOTE = Path("/data/ovenbird/network-before.json")
Reach = Literal["gateway", "address", "none"]
_RANK: Mapping[str, int] = {"none": 0, "address": 1, "gateway": 2}
_DISCARD = 9  # the port of RFC 863; whether anything listens there does not matter
_PATIENCE = 3.0
_STEP = 0.25
_LIVING = frozenset({"REACHABLE", "DELAY", "PROBE", "STALE", "PERMANENT", "NOARP"})
_WORDS: Mapping[str, str] = {"none": "has nothing", "address": "has an address", "gateway": "reaches its gateway"}
_PROVEN = frozenset({"REACHABLE", "PERMANENT", "NOARP"})


_Value = TypeVar("_Value", bound="list[Route] | list[Link] | list[Neighbour]")


class Family(msgspec.Struct, frozen=True):
    """One protocol: how far it reaches, through which interface and gateway, with which addresses."""

    reach: Reach = "none"
    interface: str = ""
    gateway: str = ""
    addresses: tuple[str, ...] = ()


class Network(msgspec.Struct, frozen=True):
    """What works."""

    ipv4: Family = Family()
    ipv6: Family = Family()


class Route(msgspec.Struct, frozen=True):
    """A line of `ip -json route`."""

    gateway: str = ""
    dev: str = ""


class Address(msgspec.Struct, frozen=True):
    """An address of `ip -json address`."""

    local: str = ""
    scope: str = ""


class Link(msgspec.Struct, frozen=True):
    """An interface of `ip -json address`."""

    ifname: str = ""
    operstate: str = ""
    flags: tuple[str, ...] = ()
    addr_info: tuple[Address, ...] = ()


class Neighbour(msgspec.Struct, frozen=True):
    """A line of `ip -json neighbour`."""

    dst: str = ""
    state: tuple[str, ...] = ()


async def look_around() -> Network:
    """What works now. Takes up to some seconds while a gateway is asked. Raises OSError without the `ip` program."""
    four, six = await asyncio.gather(_family(4), _family(6))
    return Network(four, six)


async def _family(version: Literal[4, 6]) -> Family:
    addresses = addresses_of(await _ip(version, "address"), version)
    for route in _decode(await _ip(version, "route", "show", "default"), list[Route]):
        if route.gateway and await _answers(version, route):
            return Family("gateway", route.dev, route.gateway, addresses)
    return Family("address" if addresses else "none", "", "", addresses)


def addresses_of(text: bytes, version: Literal[4, 6]) -> tuple[str, ...]:
    """The addresses of interfaces with a carrier that reach beyond this machine.

    IPv6's link-local ones do not count, as every interface makes one for itself.
    """
    found: list[str] = []
    for link in _decode(text, list[Link]):
        if "LOOPBACK" in link.flags or "LOWER_UP" not in link.flags:
            continue
        for address in link.addr_info:
            with suppress(ValueError):
                value = ipaddress.ip_address(address.local)
                if value.version == version and not (version == 6 and value.is_link_local):
                    found.append(address.local)
    return tuple(found)


async def _answers(version: Literal[4, 6], route: Route) -> bool:
    """Whether the gateway's hardware answers."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    waited = 0.0
    seen: frozenset[str] = frozenset()
    while waited < _PATIENCE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            scope = socket.if_nametoindex(route.dev) if version == 6 else 0
            there = (route.gateway, _DISCARD, 0, scope) if version == 6 else (route.gateway, _DISCARD)
            sender.sendto(b"", there)
        await asyncio.sleep(_STEP)
        waited += _STEP
        text = await _ip(version, "neighbour", "show", "to", route.gateway, "dev", route.dev)
        seen = frozenset(state for one in _decode(text, list[Neighbour]) for state in one.state)
        if seen & _PROVEN:
            return True
    # An entry that is not confirmed but was not refuted either: seconds of trying have not made it "failed".
    return bool(seen & _LIVING)


async def _ip(version: Literal[4, 6], *words: str) -> bytes:
    ended = await run_program(("ip", "-json", f"-{version}", *words))
    return ended.output.encode() if ended.code == 0 else b""


def _decode(text: bytes, kind: type[_Value]) -> _Value:
    try:
        return msgspec.json.decode(text or b"[]", type=kind)
    except msgspec.MsgspecError:
        return kind()


def compare(before: Network | None, after: Network) -> Look:
    """Whether everything that worked before works after. Without a note there is nothing to compare with."""
    if before is None:
        return Look(True, f"{_told(after)}; what worked before the update was not noted")
    lost = [
        f"{name} {_WORDS[old.reach]} before the update, and now {_WORDS[new.reach]}"
        for name, old, new in (("IPv4", before.ipv4, after.ipv4), ("IPv6", before.ipv6, after.ipv6))
        if _RANK[new.reach] < _RANK[old.reach]
    ]
    return Look(not lost, "; ".join(lost) or _told(after))


def _told(network: Network) -> str:
    parts = (("IPv4", network.ipv4), ("IPv6", network.ipv6))
    return ", ".join(f"{name} {_WORDS[family.reach]}" for name, family in parts)


def recall(path: Path = NOTE) -> Network | None:
    """What worked before; None if that is not known."""
    return files.load(path, Network)


def remember(network: Network, path: Path = NOTE) -> None:
    """Note what works, if that has changed. Raises OSError."""
    if recall(path) != network:
        files.save(path, network)


class Comparison(msgspec.Struct, frozen=True):
    """The check. The note is read once, so that nobody can change it while a trial runs."""

    before: Network | None
    name: str = "network"
    kind: str = "built-in"
    timeout_s: float = 15.0
    every_s: float = 5.0

    async def look(self) -> Look:
        """As `Check.look`."""
        return compare(self.before, await look_around())
