"""The interface, the addresses and the ports of the server, looked at before anything is started, with remedies."""

from __future__ import annotations

import contextlib
import errno
import shlex
import socket
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import ifaddr

from ovenbird.deliver.serve.settings import Server
from ovenbird.errors import HostError, UsageError
from ovenbird.recipe.problems import did_you_mean

DHCP_PORT, TFTP_PORT, PROXY_PORT = 67, 69, 4011
SO_BINDTODEVICE = 25  # asm-generic/socket.h; Python has no name for it before 3.12 on every system


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is: an interface, and its own address with the network's length."""

    interface: str
    own: IPv4Interface

    @property
    def address(self) -> str:
        """The own address."""
        return str(self.own.ip)

    @property
    def network(self) -> IPv4Network:
        """The network of the clients."""
        return self.own.network


def find_place(server: Server) -> Place:
    """The interface and address that are meant. Raises UsageError: none by that name, no address, several to choose."""
    there = _interfaces()
    if server.interface is not None:
        if server.interface not in there:
            hint = did_you_mean(server.interface, there, otherwise="there are")
            raise UsageError(f"there is no interface {server.interface}", hint=hint)
        own = there[server.interface]
        if not own:
            raise UsageError(
                f"{server.interface} has no IPv4 address",
                hint=f"give it one, such as `sudo ip address add 10.0.0.1/24 dev {server.interface}`",
            )
        if server.address is None:
            return Place(server.interface, own[0])
        return Place(server.interface, _own(server.address, {server.interface: own})[1])
    if server.address is not None:
        return Place(*_own(server.address, there))
    outward = {name: own for name, own in there.items() if name != "lo" and own}
    if len(outward) == 1:
        ((name, own),) = outward.items()
        return Place(name, own[0])
    if not outward:
        raise UsageError("no network interface of this machine has an IPv4 address")
    listed = ", ".join(f"{name} ({own[0]})" for name, own in outward.items())
    raise UsageError(
        "there are several network interfaces", hint=f"say which one the clients are on, as --interface: {listed}"
    )


def _interfaces() -> dict[str, list[IPv4Interface]]:
    found: dict[str, list[IPv4Interface]] = {name: [] for _, name in socket.if_nameindex()}
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            if isinstance(one.ip, str):
                found.setdefault(adapter.nice_name, []).append(IPv4Interface(f"{one.ip}/{one.network_prefix}"))
    return found


def _own(address: str, there: dict[str, list[IPv4Interface]]) -> tuple[str, IPv4Interface]:
    for name, own in there.items():
        for one in own:
            if one.ip == IPv4Address(address):
                return name, one
    listed = ", ".join(f"{one.ip} ({name})" for name, own in there.items() for one in own)
    raise UsageError(f"{address} is no address of this machine", hint=f"there are {listed}")


def check_range(server: Server, place: Place) -> tuple[str, str]:
    """The addresses that `full` gives: those asked for, else the upper half of the network. Raises UsageError."""
    if place.network.num_addresses < 4:
        raise UsageError(f"{place.interface} has the network {place.network}, which has no addresses to give")
    hosts = int(place.network.network_address), int(place.network.broadcast_address)
    first = server.first or str(IPv4Address(hosts[0] + (hosts[1] - hosts[0] + 1) // 2))
    last = server.last or str(IPv4Address(hosts[1] - 1))
    for one in (first, last):
        if IPv4Address(one) not in place.network:
            raise UsageError(f"{one} is not in the network of {place.interface}, {place.network}")
    if IPv4Address(first) > IPv4Address(last):
        raise UsageError(f"the range ends before it begins: {first} to {last}")
    return first, last


def sudo_line() -> str:
    """This same command with the rights of root."""
    return "sudo " + shlex.join([str(Path(sys.argv[0]).absolute()), *sys.argv[1:]])


def listen(address: str, port: int) -> socket.socket:
    """A socket for HTTP. Raises HostError with what to do."""
    try:
        listener = socket.create_server((address, port), backlog=1024)
    except OSError as error:
        raise port_error(error, "TCP", port, "HTTP") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # See the agent's `listen`.
    return listener


def check_rights(place: Place, *, dhcp: bool) -> None:
    """Find out whether DHCP (if it is wanted) and TFTP may be listened on here. Raises HostError with what to do."""
    wanted = [(TFTP_PORT, "TFTP"), *([(DHCP_PORT, "DHCP"), (PROXY_PORT, "PXE")] if dhcp else [])]
    for port, what in wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # As dnsmasq does for DHCP, so that servers for other interfaces are no hindrance.
                if port != TFTP_PORT:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    probe.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, place.interface.encode())
                probe.bind(("0.0.0.0" if port != TFTP_PORT else place.address, port))
            except OSError as error:
                raise port_error(error, "UDP", port, what) from error
    if dhcp:
        try:
            # dnsmasq answers machines that have no address yet.
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        except PermissionError as error:
            message = "answering DHCP takes rights on the network (CAP_NET_RAW, CAP_NET_ADMIN)"
            raise HostError(message, hint=_as_root()) from error


def _as_root() -> str:
    return f"run it as root: `{sudo_line()}`, or as a service: `ovenbird serve --unit`"


def port_error(error: OSError, kind: str, port: int, what: str) -> HostError:
    """Why a port cannot be had, and the exact remedy."""
    if error.errno == errno.EADDRINUSE:
        holder = _holder(kind.lower(), port)
        by = f" by {holder}" if holder else ""
        hint = f"`sudo ss -lnp{kind[0].lower()} 'sport = :{port}'` says by whom; end that"
        hint += (
            ", or take another port: --port"
            if what == "HTTP"
            else ", or use what it offers: `ovenbird serve --print dnsmasq`"
        )
        return HostError(f"{what} cannot listen on {kind} port {port}: it is in use{by}", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        limit = 1024
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        hint = _as_root()
        if port < limit and what == "HTTP":
            python = Path(sys.executable).resolve()
            hint = (
                f"take a port from {limit} on (--port 8080), or allow it:"
                f" `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` for everybody,"
                f" `sudo setcap cap_net_bind_service=+ep {python}` for this Python, or run it by sudo"
            )
        return HostError(f"{what} may not listen on {kind} port {port}: no right to", hint=hint)
    if error.errno == errno.EADDRNOTAVAIL:
        return HostError(f"{what} cannot listen on port {port}: the address is not of this machine")
    return HostError(f"{what} cannot listen on {kind} port {port}: {(error.strerror or str(error)).lower()}")


def _holder(kind: str, port: int) -> str:
    """The program that has a port, as far as we may see it."""
    inodes = set[str]()
    for table in (kind, f"{kind}6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in inodes:
                name = (link.parents[1] / "comm").read_text().strip()
                return f"{name} (process {link.parents[1].name})"
    return ""
