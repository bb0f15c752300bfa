"""Is there a DHCP server on this interface already? One question on it alone, as a machine without an address asks.

RFC 2131. The frame is made by hand and sent from a packet socket, since this machine may well have an address there and
a DHCP client of its own on the port.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import HostError, UsageError

WAIT = 6.0
"""Seconds for an answer: a server may first look whether an address is free (RFC 2131 3.1), dnsmasq for three."""
_COOKIE = bytes((99, 130, 83, 99))
_MESSAGE_TYPE, _SERVER_ID, _PARAMETERS, _END = 53, 54, 55, 255
_DISCOVER, _OFFER = 1, 2
_ETH_P_IP = 0x0800


@dataclass(frozen=True, slots=True)
class Answer:
    """A DHCP server that answered, and the address that it offered."""

    server: str
    offered: str


def look(interface: str, wait: float = WAIT) -> Answer | None:
    """Who answers a DHCPDISCOVER on the interface; None where nobody does. Raises HostError without the right to ask,
    UsageError for an interface that is down.
    """
    number = random.getrandbits(32)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)) as asking:
            asking.bind((interface, _ETH_P_IP))
            hardware = _hardware(interface)
            end = time.monotonic() + wait
            for begin in (time.monotonic(), time.monotonic() + wait / 2):
                while time.monotonic() < begin:
                    if (found := _receive(asking, number, begin)) is not None:
                        return found
                asking.send(discover(hardware, number))
            while time.monotonic() < end:
                if (found := _receive(asking, number, end)) is not None:
                    return found
    except PermissionError as error:
        raise HostError(
            "looking for another DHCP server takes a raw socket", hint="run it as root, or say --force"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{interface} cannot be used: {(error.strerror or str(error)).lower()}",
            hint=f"`sudo ip link set {interface} up`",
        ) from error
    return None


def _receive(asking: socket.socket, number: int, end: float) -> Answer | None:
    asking.settimeout(max(0.01, end - time.monotonic()))
    try:
        return parse(asking.recv(2048), number)
    except TimeoutError:
        return None


def _hardware(interface: str) -> bytes:
    try:
        return bytes.fromhex(Path(f"/sys/class/net/{interface}/address").read_text().strip().replace(":", ""))[:6]
    except (OSError, ValueError):
        return bytes((2, 0, 0, 0, 0, 1))


def discover(hardware: bytes, number: int) -> bytes:
    """An Ethernet frame with a DHCPDISCOVER that asks for a broadcast answer."""
    options = _COOKIE + bytes((_MESSAGE_TYPE, 1, _DISCOVER, _PARAMETERS, 2, 1, 3, _END))
    bootp = (
        struct.pack("!BBBBIHH", 1, 1, 6, 0, number, 0, 0x8000)
        + bytes(16)
        + hardware.ljust(16, b"\0")
        + bytes(192)
        + options
    )
    bootp += bytes(max(0, 300 - len(bootp)))
    udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4))
    struct.pack_into("!H", ip, 10, _checksum(bytes(ip)))
    return b"\xff" * 6 + hardware + struct.pack("!H", _ETH_P_IP) + bytes(ip) + udp


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse(frame: bytes, number: int) -> Answer | None:
    """The offer in an Ethernet frame, if it is one, and answers the question of that number."""
    if len(frame) < 14 + 20 + 8 + 240 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 15) * 4
    bootp = frame[udp + 8 :]
    if struct.unpack_from("!H", frame, udp)[0] != 67 or len(bootp) < 240 or bootp[236:240] != _COOKIE:
        return None
    if bootp[0] != 2 or struct.unpack_from("!I", bootp, 4)[0] != number:
        return None
    options = _options(bootp[240:])
    if options.get(_MESSAGE_TYPE) != bytes((_OFFER,)):
        return None
    server = options.get(_SERVER_ID, b"")
    source = server if len(server) == 4 else frame[26:30]
    return Answer(socket.inet_ntoa(source), socket.inet_ntoa(bootp[16:20]))


def _options(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(raw) and raw[at] != _END:
        if raw[at] == 0:
            at += 1
            continue
        size = raw[at + 1]
        found.setdefault(raw[at], raw[at + 2 : at + 2 + size])
        at += 2 + size
    return found
