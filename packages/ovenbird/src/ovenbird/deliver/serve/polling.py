"""Asking the clients that have booted how they are: each one's own page, by the address that it has now.

A client often has another address under its system than under its boot program. Its hardware address stays, so the
kernel's list of neighbours leads to it; and any that announce themselves by mDNS are found there too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from ovenbird.deliver import mdns
from ovenbird.deliver.console import Console, Glance
from ovenbird.deliver.each import side_by_side
from ovenbird.deliver.link import DeviceError
from ovenbird.deliver.logs import harmless
from ovenbird.deliver.serve.live import Client, Clients, Stage
from ovenbird.deliver.target import Target
from ovenbird.errors import NetworkError, OvenbirdError
from ovenbird.run import run

EVERY = 5.0
"""Seconds between two rounds."""
PORT = 80
FORGOTTEN = 3600.0
"""Seconds after which nobody asks for one that has said nothing: it is switched off."""
_ASKED = frozenset({Stage.ROOT, Stage.STARTING, Stage.RUNNING, Stage.KERNEL})


class _Neighbour(msgspec.Struct, frozen=True):
    """A line of `ip -json neighbour`."""

    dst: str = ""
    lladdr: str = ""
    state: tuple[str, ...] = ()


def neighbours(interface: str) -> dict[str, str]:
    """Addresses by hardware addresses, of those that the kernel has spoken with. Empty without the program `ip`."""
    try:
        said = run(["ip", "-4", "-json", "neighbour", "show", "dev", interface], what="the kernel's neighbours").stdout
        lines = msgspec.json.decode(said.strip() or "[]", type=list[_Neighbour])
    except (OvenbirdError, msgspec.MsgspecError):
        return {}
    return {
        one.lladdr.lower(): one.dst for one in lines if one.lladdr and not {"FAILED", "INCOMPLETE"} & set(one.state)
    }


class Polling:
    """Threads that ask round after round until they are stopped. `own` is this machine's address on the interface, to
    listen on for devices that announce themselves; nobody listens without one.
    """

    def __init__(
        self, clients: Clients, interface: str, own: str = "", *, every: float = EVERY, port: int = PORT
    ) -> None:
        self._clients = clients
        self._interface = interface
        self._own = own
        self._every = every
        self._port = port
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, args=(work, every), daemon=True)
            for work in (self._round, *([self._listen] if own else []))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; the question that is under way may take its time, but nobody waits for its answer."""
        self._stop.set()

    def _loop(self, work: Callable[[], None], pause: float) -> None:
        while not self._stop.is_set():
            work()
            self._stop.wait(pause)

    def _round(self) -> None:
        now = time.time()
        known = neighbours(self._interface)
        asked: list[tuple[Client, str]] = []
        for client in self._clients.all(now):
            address = known.get(client.mac, client.address)
            if address and now - client.last_seen < FORGOTTEN and client.stage in (*_ASKED, Stage.SILENT):
                asked.append((client, address))
        if asked:
            side_by_side(asked, lambda pair: self._ask(*pair))
        self._clients.save()

    def _ask(self, client: Client, address: str) -> None:
        glance = self._glance(address, self._port)
        if glance is None or self._stop.is_set():
            return
        now = self._clients.now(client.key)
        # What answers may still be the system from before a restart: the boot program's requests are newer than it.
        if now is not None and (now.last_seen <= client.last_seen or glance.boot_id != now.boot_id):
            self._note(client.mac, address, glance)

    def _glance(self, address: str, port: int) -> Glance | None:
        try:
            with Console(Target(address, address, port)) as console:
                return console.glance()
        except (NetworkError, DeviceError):
            return None

    def _note(self, mac: str, address: str, glance: Glance) -> None:
        self._clients.saw(
            time.time(), mac=mac, address=address, stage=Stage.RUNNING, hostname=harmless(glance.hostname),
            running_image=harmless(glance.name), running_version=harmless(glance.version),
            health=harmless(glance.health), boot_id=glance.boot_id,
        )  # fmt: skip

    def _listen(self) -> None:
        """Devices that announce themselves on the interface, and whose address is one of a client."""
        try:
            mdns.listen(self._every, [self._own], self._announced)
        except OvenbirdError:
            self._stop.wait(self._every)

    def _announced(self, one: mdns.Announced) -> None:
        owners = {address: mac for mac, address in neighbours(self._interface).items()}
        for address in one.addresses:
            client = self._clients.now(owners.get(address, "")) or self._clients.by_address(address)
            if client is not None and not self._stop.is_set() and (glance := self._glance(address, one.port)):
                self._note(client.mac, address, glance)
