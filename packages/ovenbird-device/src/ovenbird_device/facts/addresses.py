"""The addresses of this machine, asked from the kernel by netlink (rtnetlink(7), RTM_GETADDR).

The standard library has no such call, and the one address that SIOCGIFADDR gives is not the truth on a machine with
several. One request and one bounded answer, no root needed.
"""

import ipaddress
import socket
import struct
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_DONE, _NEW_ADDRESS, _GET_ADDRESS = 3, 20, 22
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL = 1, 2, 3
_SCOPE_HOST = 254
_TENTATIVE_OR_FAILED = 0x48  # IFA_F_TENTATIVE | IFA_F_DADFAILED
_MOST_BYTES = 1 << 20


class Address(NamedTuple):
    """One address on one interface."""

    interface: str
    address: str
    prefix: int
    link_local: bool


def parse(data: bytes, names: dict[int, str]) -> tuple[list[Address], bool]:
    """The addresses in one netlink datagram, and whether it ends the dump.

    `names` maps interface indexes to names. Malformed messages end the parsing without an error.
    """
    found: list[Address] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            break
        if kind == _DONE:
            return found, True
        if kind == _NEW_ADDRESS:
            address = _one(data[offset + _HEADER.size : offset + length], names)
            if address is not None:
                found.append(address)
        offset += (length + 3) & ~3
    return found, False


def _one(body: bytes, names: dict[int, str]) -> Address | None:
    if len(body) < _ADDRESS.size:
        return None
    family, prefix, flags, scope, index = _ADDRESS.unpack_from(body)
    size = {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family)
    if size is None or scope == _SCOPE_HOST or flags & _TENTATIVE_OR_FAILED:
        return None
    attributes: dict[int, bytes] = {}
    offset = _ADDRESS.size
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size or offset + length > len(body):
            break
        attributes[kind] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    raw = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if len(raw) != size:
        return None
    address = ipaddress.ip_address(raw)
    if address.is_loopback:
        return None
    return Address(names.get(index, str(index)), str(address), prefix, address.is_link_local)


def read() -> list[Address]:
    """This machine's addresses without those of the loopback; ordinary ones before link-local ones.

    Empty when the kernel does not answer: a page without addresses is better than none.
    """
    found: list[Address] = []
    names = dict(socket.if_nameindex())
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
            link.settimeout(0.5)
            link.bind((0, 0))
            message = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            length = _HEADER.size + len(message)
            link.send(_HEADER.pack(length, _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + message)
            received = 0
            while received < _MOST_BYTES:
                data = link.recv(65536)
                received += len(data)
                addresses, done = parse(data, names)
                found += addresses
                if done or not data:
                    break
    except OSError:
        return found
    return sorted(found, key=lambda one: (one.link_local, ":" in one.address))
