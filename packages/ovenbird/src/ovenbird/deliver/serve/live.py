"""Who the clients are and how far each is: from the first packet of its firmware to the health of what it runs.

What is known comes in as sightings (a line of dnsmasq's log, a request, an answer to a question). `Client.after` says
what one of them makes of a client; `Clients` keeps them, by hardware address where it is known.
"""

from __future__ import annotations

import contextlib
import threading
from enum import StrEnum
from pathlib import Path

import msgspec

from ovenbird.errors import OvenbirdError
from ovenbird.files import write_atomically

MOST = 4096
"""Clients that are remembered: hardware addresses are easily made up."""
SILENT = 90.0
"""Seconds after which one that answered before is called silent."""


class Stage(StrEnum):
    """How far a client is."""

    FIRMWARE = "firmware"  # asks for an address, or what to boot
    MENU = "menu"  # its boot program has its menu
    KERNEL = "kernel"  # loads kernel and initrd
    ROOT = "root"  # its initrd loads the root
    STARTING = "starting"  # has what it needs
    RUNNING = "running"  # answers
    SILENT = "silent"  # did, and does no more


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client. Times are seconds since the epoch, `sent` and `size` bytes of the root."""

    key: str
    mac: str = ""
    serial: str = ""
    name: str = ""
    address: str = ""
    architecture: str = ""
    stage: Stage = Stage.FIRMWARE
    image: str = ""
    version: str = ""
    build: str = ""
    sent: int = 0
    size: int = 0
    hostname: str = ""
    running_image: str = ""
    running_version: str = ""
    health: str = ""
    boot_id: str = ""
    trouble: str = ""
    first_seen: float = 0.0
    last_seen: float = 0.0

    @property
    def percent(self) -> int:
        """How much of the root has been sent."""
        return min(100, self.sent * 100 // self.size) if self.size else 0

    @property
    def current(self) -> bool:
        """Whether it runs what it was given last."""
        return self.stage != Stage.RUNNING or (self.running_image, self.running_version) == (self.image, self.version)


class Clients:
    """The live list; safe to use from several threads. `file` keeps it over restarts of the server."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file = file
        self._by_key: dict[str, Client] = {}
        self._saved: tuple[Client, ...] = ()
        if file is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError):  # A list that is lost fills again.
                for one in msgspec.json.decode(file.read_bytes(), type=tuple[Client, ...]):
                    self._by_key[one.key] = one
        self._saved = tuple(self._by_key.values())

    def all(self, now: float) -> list[Client]:
        """Those that are known, the named ones first; who has not answered for a while is called silent."""
        with self._lock:
            found = [_aged(one, now) for one in self._by_key.values()]
        return sorted(found, key=lambda one: (not one.name, one.name, one.mac, one.address))

    def now(self, key: str) -> Client | None:
        """What is known of one at this moment."""
        with self._lock:
            return self._by_key.get(key)

    def by_address(self, address: str) -> Client | None:
        """Who had an address last."""
        with self._lock:
            return self._at(address)

    def _at(self, address: str) -> Client | None:
        found = [one for one in self._by_key.values() if address and one.address == address]
        return max(found, key=lambda one: (bool(one.mac), one.last_seen), default=None)

    def saw(self, now: float, *, mac: str = "", address: str = "", **changes: object) -> Client:
        """Note a sighting of whoever has the hardware address, or without one the address; `changes` are fields."""
        with self._lock:
            known = self._by_key.get(mac) if mac else self._at(address)
            if known is None and mac and address:
                # It was seen by its address before anybody told whose that is.
                nameless = self._by_key.get(address)
                known = self._by_key.pop(address) if nameless is not None and not nameless.mac else None
            if known is None:
                known = Client(key=mac or address, first_seen=now)
                self._make_room()
            told: dict[str, object] = {name: value for name, value in changes.items() if value is not None}
            told |= {"mac": mac} if mac else {}
            told |= {"address": address} if address else {}
            if mac and address:
                self._take_address(address, mac)
            client = msgspec.structs.replace(known, key=mac or known.key, last_seen=now, **told)
            self._by_key[client.key] = client
            return client

    def change(self, key: str, **changes: object) -> None:
        """Note something of a client that is no sighting."""
        with self._lock:
            if key in self._by_key:
                self._by_key[key] = msgspec.structs.replace(self._by_key[key], **changes)

    def _take_address(self, address: str, mac: str) -> None:
        """An address is only one's: its former owner has another by now, or is off."""
        for key, one in list(self._by_key.items()):
            if one.address == address and one.mac != mac:
                if one.mac:
                    self._by_key[key] = msgspec.structs.replace(one, address="")
                else:
                    del self._by_key[key]

    def _make_room(self) -> None:
        if len(self._by_key) >= MOST:
            oldest = min(self._by_key.values(), key=lambda one: (bool(one.name), one.last_seen))
            del self._by_key[oldest.key]

    def save(self) -> None:
        """Keep the list, if it has changed. A disk that is full is no reason to stop serving."""
        with self._lock:
            clients = tuple(self._by_key.values())
        if self._file is None or clients == self._saved:
            return
        with contextlib.suppress(OSError, OvenbirdError):
            write_atomically(self._file, msgspec.json.encode(clients))
            self._saved = clients


def _aged(client: Client, now: float) -> Client:
    if client.stage == Stage.RUNNING and now - client.last_seen > SILENT:
        return msgspec.structs.replace(client, stage=Stage.SILENT)
    return client
