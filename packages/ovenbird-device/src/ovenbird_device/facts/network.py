"""The network as it is: interfaces with their addresses, routes, name servers, Wi-Fi signal.

From sysfs and /proc/net, which need no rights and always answer; what systemd-networkd made of it, and out of which
file, is asked of `networkctl`, and left out where that does not answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

from ..health.check import run_program
from ..network import settings, trial
from ..network.settings import NetworkSettings
from . import addresses, hardware, parse

_PATIENCE = 4.0
_MOST_ROUTES = 200
_ESCAPES = {b"\\": b"\\", b'"': b'"', b"e": b"\033", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ESCAPE = re.compile(rb'\\(\\|"|[enrt]|x[0-9a-fA-F]{2})')
_UP, _GATEWAY, _REJECT, _LOCAL = 0x1, 0x2, 0x200, 0x80000000  # RTF_UP, RTF_GATEWAY, RTF_REJECT, RTF_LOCAL


class InterfaceAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address of an interface."""

    address: str
    prefix: int
    link_local: bool


class Radio(msgspec.Struct, frozen=True, kw_only=True):
    """How Wi-Fi goes, as the stage `wifi` notes it."""

    state: str
    """`searching`, `connected`, `lost`, `refused` (the password is wrong), `failed`, `missing` (none is in reach)."""
    ssid: str
    """The network that it is about; empty if it is about none."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An interface. `kind`: `wired`, `wifi` or `virtual`; sizes in bytes since the device started."""

    name: str
    kind: str
    mac: str
    state: str
    """As the kernel says: `up`, `down`, `dormant`, `unknown` …"""
    speed_mbit: int | None
    mtu: int
    signal_dbm: int | None
    """Of Wi-Fi, where its driver tells."""
    received: int
    sent: int
    addresses: list[InterfaceAddress]
    managed: str
    """What systemd-networkd says: `configured`, `configuring`, `failed`, `unmanaged` …; empty if it does not."""
    file: str
    """The file that it does so by."""
    changeable: bool
    """Whether it can be set here."""
    settings: NetworkSettings | None
    """As it was set on this device; null: as the image has it."""
    radio: Radio | None = None
    """Of Wi-Fi that the device looks after."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A route; `gateway` is empty for networks on the wire."""

    destination: str
    gateway: str
    interface: str
    metric: int


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    hostname: str
    links: list[Link]
    routes: list[Way]
    dns: list[str]
    search: list[str]


class _Said(msgspec.Struct, frozen=True):
    """An interface as `networkctl --json` tells it; see org.freedesktop.network1(5)."""

    name: str = msgspec.field(name="Name", default="")
    managed: str = msgspec.field(name="AdministrativeState", default="")
    file: str = msgspec.field(name="NetworkFile", default="")


class _AllSaid(msgspec.Struct, frozen=True):
    interfaces: tuple[_Said, ...] = msgspec.field(name="Interfaces", default=())


async def look(
    kept: Path, processes: Path = Path("/proc"), system: Path = Path("/sys"), runtime: Path = Path("/run")
) -> Network:
    """The network now. `kept` is the folder of settings that were made on this device."""
    said = await _said()
    known = addresses.read()
    signals = wireless(_text(processes / "net/wireless"))
    links = [
        msgspec.structs.replace(
            _link(folder, said, known, signals, kept, system), radio=radio(runtime / "ovenbird/wifi" / folder.name)
        )
        for folder in sorted((system / "class/net").glob("*"))
    ]
    resolved = _text(runtime / "systemd/resolve/resolv.conf") or _text(Path("/etc/resolv.conf"))
    return Network(
        hostname=socket.gethostname(),
        links=sorted((one for one in links if one.name != "lo"), key=lambda one: (one.kind == "virtual", one.name)),
        routes=(routes(_text(processes / "net/route")) + routes6(_text(processes / "net/ipv6_route")))[:_MOST_ROUTES],
        dns=resolv(resolved, "nameserver"),
        search=resolv(resolved, "search"),
    )


async def _said() -> dict[str, _Said]:
    try:
        async with asyncio.timeout(_PATIENCE):
            ended = await run_program(("networkctl", "--no-pager", "--json=short", "list"))
        found = msgspec.json.decode(ended.output.encode(), type=_AllSaid)
    except (OSError, TimeoutError, msgspec.MsgspecError):
        return {}
    return {one.name: one for one in found.interfaces}


def _link(
    folder: Path,
    said: dict[str, _Said],
    known: list[addresses.Address],
    signals: dict[str, int],
    kept: Path,
    system: Path,
) -> Link:
    name = folder.name
    about = said.get(name, _Said())
    real = (folder / "device").exists()
    speed = _number(folder / "speed")
    kind = "wifi" if (folder / "phy80211").exists() else "wired" if real else "virtual"
    return Link(
        name=name,
        kind=kind,
        mac=hardware.text(folder / "address"),
        state=hardware.text(folder / "operstate") or "unknown",
        speed_mbit=speed if 0 < speed < 1 << 24 else None,
        mtu=_number(folder / "mtu"),
        signal_dbm=signals.get(name),
        received=_number(folder / "statistics/rx_bytes"),
        sent=_number(folder / "statistics/tx_bytes"),
        addresses=[
            InterfaceAddress(address=one.address, prefix=one.prefix, link_local=one.link_local)
            for one in known
            if one.interface == name
        ],
        managed=about.managed,
        file=about.file,
        changeable=trial.changeable(name, system),
        settings=_settings(trial.Places(kept=kept), name, kind),
    )


def _settings(places: trial.Places, name: str, kind: str) -> NetworkSettings | None:
    """What was set for an interface, else for all of its kind."""
    own = settings.read(places.kept_file(name)) if settings.is_interface(name) else None
    return own or settings.read(places.kept / "all" / f"{kind}.network")


def radio(note: Path) -> Radio | None:
    """What the stage `wifi` noted of an interface; None if it has not. In the network's name, bytes that are no
    printable ASCII stand as wpa_supplicant writes them (`\\xc3`).
    """
    try:
        found = parse.key_values(note.read_text("ascii", "replace"))
    except OSError:
        return None
    name = _ESCAPE.sub(lambda one: _ESCAPES.get(one[1]) or bytes([int(one[1][1:], 16)]), found.get("ssid", "").encode())
    text = "".join(sign if sign.isprintable() else "?" for sign in name.decode("utf-8", "replace"))
    return Radio(state=found.get("state", "")[:20], ssid=text[:64])


def routes(text: str) -> list[Way]:
    """The routes in /proc/net/route: one a line, addresses as numbers in this machine's byte order."""
    found: list[Way] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        with suppress(ValueError, IndexError):
            flags = int(words[3], 16)
            if not flags & _UP or flags & _REJECT:
                continue
            network = ipaddress.ip_network(f"{_four(words[1])}/{_four(words[7])}")
            gateway = str(_four(words[2])) if flags & _GATEWAY else ""
            found.append(Way(destination=str(network), gateway=gateway, interface=words[0], metric=int(words[6])))
    return found


def _four(text: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(socket.htonl(int(text, 16)))


def routes6(text: str) -> list[Way]:
    """The routes in /proc/net/ipv6_route, without those to this machine itself and to whole links."""
    found: list[Way] = []
    for line in text.splitlines():
        words = line.split()
        with suppress(ValueError, IndexError):
            flags = int(words[8], 16)
            if not flags & _UP or flags & (_REJECT | _LOCAL) or words[9] == "lo":
                continue
            network = ipaddress.IPv6Network((int(words[0], 16), int(words[1], 16)))
            if network.is_multicast or network.is_link_local:
                continue
            gateway = str(ipaddress.IPv6Address(int(words[4], 16))) if flags & _GATEWAY else ""
            found.append(Way(destination=str(network), gateway=gateway, interface=words[9], metric=int(words[5], 16)))
    return found


def wireless(text: str) -> dict[str, int]:
    """The signal of each Wi-Fi interface in dBm, out of /proc/net/wireless; only of drivers that tell it in dBm."""
    found: dict[str, int] = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        words = rest.split()
        with suppress(ValueError, IndexError):
            level = int(float(words[2].rstrip(".")))
            if colon and -120 <= level < 0:
                found[name.strip()] = level
    return found


def resolv(text: str, key: str) -> list[str]:
    """The values of a key in resolv.conf(5), each once."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == key:
            found += [word for word in words[1:] if word.isprintable() and word != "."]
    return list(dict.fromkeys(found))[:16]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(256 << 10).decode("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = hardware.text(path)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
