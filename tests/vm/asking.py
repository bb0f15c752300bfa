"""`python -m tests.vm.asking INTERFACE KIND [ipxe]`: ask as a firmware of that kind (option 93) does, print the offers.

One JSON object for all that answered within the time, by the server's address: what they say to boot.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from contextlib import suppress

from ovenbird.deliver.serve import probe

SECONDS = 2.5
MAC = bytes.fromhex("525400aa0099")


def ask(interface: str, kind: int, *, ipxe: bool) -> dict[str, dict[str, str]]:
    """The offers."""
    name = "HTTPClient" if kind in (16, 19) else "PXEClient"
    vendor = f"{name}:Arch:{kind:05}:UNDI:003001".encode()
    options = bytes((60, len(vendor))) + vendor + bytes((93, 2)) + struct.pack("!H", kind) + bytes((94, 3, 1, 3, 1))
    options += bytes((97, 17, 0)) + MAC + bytes(10)  # the machine's identifier
    options += bytes((175, 3, 0xB1, 1, 1)) + bytes((77, 4)) + b"iPXE" if ipxe else b""
    frame = bytearray(probe.discover(MAC, 7))
    start = 14 + 20 + 8 + 240 + 3  # behind the kind of message
    body = bytes(frame[:start]) + options + bytes((55, 4, 1, 3, 66, 67, 255))
    frame = bytearray(body + bytes(max(0, 342 - len(body))))
    struct.pack_into("!H", frame, 16, len(frame) - 14)
    struct.pack_into("!H", frame, 38, len(frame) - 34)
    struct.pack_into("!H", frame, 24, 0)
    struct.pack_into("!H", frame, 24, _checksum(bytes(frame[14:34])))
    found: dict[str, dict[str, str]] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as asking:
        asking.bind((interface, 0x0800))
        asking.send(frame)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            asking.settimeout(max(0.01, end - time.monotonic()))
            with suppress(TimeoutError):
                answer = asking.recv(2048)
                if (offer := probe.parse(answer, 7)) is not None:
                    found[offer.server] = _said(answer, offer.offered)
    return found


def _said(frame: bytes, offered: str) -> dict[str, str]:
    bootp = frame[14 + (frame[14] & 15) * 4 + 8 :]
    said = {"offered": offered, "next": socket.inet_ntoa(bootp[20:24])}
    said["file"] = bootp[108:236].split(b"\0")[0].decode()
    at = 240
    while at + 1 < len(bootp) and bootp[at] != 255:
        if bootp[at] in (60, 67):
            said[str(bootp[at])] = bootp[at + 2 : at + 2 + bootp[at + 1]].rstrip(b"\0").decode()
        at += 2 + bootp[at + 1] if bootp[at] else 1
    return said


def _checksum(header: bytes) -> int:
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], int(sys.argv[2]), ipxe="ipxe" in sys.argv[3:])))
