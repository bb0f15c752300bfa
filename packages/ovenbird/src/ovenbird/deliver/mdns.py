"""Devices that announce themselves on the local networks: `_ovenbird._tcp` by multicast DNS (RFC 6762, RFC 6763)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ifaddr
from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from ovenbird.errors import HostError, UsageError

SERVICE = "_ovenbird._tcp.local."
_DETAILS = 3000
"""Milliseconds in which a device that has announced its name must tell its address."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A device as it announces itself: its host name, its addresses, where its page is."""

    hostname: str
    addresses: tuple[str, ...]
    port: int


def listen(seconds: float, interfaces: Sequence[str], found: Callable[[Announced], None]) -> None:
    """Ask on these interfaces (names or addresses of this machine; all of them without any) who is there, and call
    `found` for each device, at once and from other threads.

    Raises UsageError for an interface that is not there, HostError where this machine has no multicast.
    """
    helpers: list[threading.Thread] = []
    end = time.monotonic() + seconds

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Added:
            return
        # Of its own, as the question for the details waits for what this thread reads.
        helper = threading.Thread(target=tell, args=(zeroconf, name), daemon=True)
        helpers.append(helper)
        helper.start()

    def tell(zeroconf: Zeroconf, name: str) -> None:
        info = ServiceInfo(SERVICE, name)
        if info.request(zeroconf, _DETAILS) and info.port:
            host = (info.server or name).rstrip(".").removesuffix(".local")
            addresses = sorted(info.parsed_scoped_addresses(IPVersion.All), key=lambda one: ":" in one)
            # A link-local IPv6 address only where there is nothing better: it is of use on this machine alone.
            addresses = [one for one in addresses if not one.startswith("fe80:")] or addresses
            found(Announced(host, tuple(addresses), info.port))

    zeroconf = _open(interfaces)
    try:
        browser = ServiceBrowser(zeroconf, SERVICE, handlers=[changed])
        time.sleep(max(0.0, end - time.monotonic()))
        browser.cancel()
        for helper in helpers:
            helper.join(_DETAILS / 1000)
    finally:
        zeroconf.close()


def _open(interfaces: Sequence[str]) -> Zeroconf:
    try:
        if interfaces:
            own = addresses_of(interfaces)
            six = any(":" in one for one in own)
            return Zeroconf(interfaces=own, ip_version=IPVersion.All if six else IPVersion.V4Only)
        try:
            return Zeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.All)
        except OSError:  # A kernel without IPv6.
            return Zeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)
    except RuntimeError as error:
        raise HostError("no network of this machine is up") from error
    except OSError as error:
        raise HostError(f"this machine cannot ask its network who is there: {error}") from error


def addresses_of(interfaces: Sequence[str]) -> list[str]:
    """This machine's addresses on the interfaces; what is one already stays. Raises UsageError for what is neither."""
    adapters = {adapter.nice_name: [_plain(one) for one in adapter.ips] for adapter in ifaddr.get_adapters()}
    own = {one for addresses in adapters.values() for one in addresses}
    found: list[str] = []
    for name in interfaces:
        if name in own:
            found.append(name)
        elif name in adapters:
            # The first of each kind: one question for each is enough.
            for six in (False, True):
                found += [one for one in adapters[name] if (":" in one) == six][:1]
        else:
            raise UsageError(f"there is no interface {name}", hint=f"there are {', '.join(sorted(adapters))}")
    if not found:
        raise UsageError(f"{', '.join(interfaces)} has no address")
    return found


def names_of(interfaces: Sequence[str]) -> list[str]:
    """The names of the interfaces that these names and addresses mean."""
    wanted = set(interfaces)
    return [
        adapter.nice_name
        for adapter in ifaddr.get_adapters()
        if adapter.nice_name in wanted or wanted & {_plain(one) for one in adapter.ips}
    ]


def _plain(address: ifaddr.IP) -> str:
    return address.ip if isinstance(address.ip, str) else address.ip[0]
