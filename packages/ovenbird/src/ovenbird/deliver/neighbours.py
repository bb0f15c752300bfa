"""Raspberry Pis among the neighbours that this machine's kernel knows, by their hardware addresses. Nothing is sent.

The kernel knows whom this machine has exchanged packets with on its own networks in the last minutes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ovenbird.run import run

# Registered with the IEEE for Raspberry Pi (Trading) Ltd and the Raspberry Pi Foundation, as of the registry's public
# lists MA-L, MA-M and MA-S: the leading hexadecimal digits of an address.
RASPBERRY_PI = (
    "28cdc1", "2ccf67", "88a29e", "b827eb", "d83add", "dca632", "e45f01",  # 24 bits
    "f040af9",  # 28 bits
    "8c1f6434a",  # 36 bits
)  # fmt: skip
_GONE = frozenset({"FAILED", "INCOMPLETE"})


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A machine on the same network."""

    address: str
    hardware: str


class _Line(msgspec.Struct, frozen=True):
    """A line of `ip -json neighbour`."""

    dst: str = ""
    dev: str = ""
    lladdr: str = ""
    state: tuple[str, ...] = ()


def raspberry_pis(interfaces: Sequence[str] = ()) -> list[Neighbour]:
    """Those on the interfaces by these names; on all without any. Raises HostError without the program `ip`."""
    return parse(run(["ip", "-json", "neighbour", "show"], what="the kernel's neighbours").stdout, interfaces)


def parse(text: str, interfaces: Sequence[str] = ()) -> list[Neighbour]:
    """The Raspberry Pis in what `ip -json neighbour` prints; none in what is not that."""
    try:
        lines = msgspec.json.decode(text.strip() or "[]", type=list[_Line])
    except msgspec.MsgspecError:
        return []
    return [
        Neighbour(line.dst, line.lladdr)
        for line in lines
        if is_raspberry_pi(line.lladdr)
        and not _GONE & set(line.state)
        and not line.dst.startswith("fe80:")  # On any network that gives addresses it has a better one too.
        and (not interfaces or line.dev in interfaces)
    ]


def is_raspberry_pi(hardware: str) -> bool:
    """Whether a hardware address ("b8:27:eb:01:02:03") is of a range of Raspberry Pi's."""
    return re.sub(r"[^0-9a-f]", "", hardware.lower()).startswith(RASPBERRY_PI)
