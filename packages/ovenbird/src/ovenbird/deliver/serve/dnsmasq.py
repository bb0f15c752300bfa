"""dnsmasq: DHCP (whole, or PXE beside another server) and TFTP, and what its log tells of the clients.

It is told everything on its standard input and by a configuration made here; it never reads the system's own.
Who is who: option 93 (RFC 4578) names the firmware, option 175 iPXE, option 60 "HTTPClient" UEFI's HTTP boot, and
a Raspberry Pi, which says it is a PC, is known by the first digits of its hardware address.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovenbird.deliver.neighbours import RASPBERRY_PI
from ovenbird.deliver.serve import programs
from ovenbird.deliver.serve.network import Place
from ovenbird.deliver.serve.settings import Server
from ovenbird.errors import HostError
from ovenbird.run import PATIENCE, spawn

LEASE = "12h"
# Processor and firmware by the numbers of option 93 (IANA, "Processor Architecture Types").
BIOS, EFI_X64, EFI_BC, EFI_ARM64, HTTP_X64, HTTP_ARM64 = 0, 7, 9, 11, 16, 19
_MESSAGE = "Ovenbird"


@dataclass(frozen=True, slots=True)
class Plan:
    """What dnsmasq is to do. `folder` is what TFTP gives out; `first` and `last` are for `full` alone."""

    server: Server
    place: Place
    base: str
    folder: Path
    architectures: frozenset[str]
    first: str = ""
    last: str = ""


def loaders(plan: Plan) -> dict[int, str]:
    """What each firmware starts: a name for TFTP, a URL where it boots by HTTP."""
    found: dict[int, str] = {}
    if "amd64" in plan.architectures:
        found[BIOS] = programs.LPXELINUX if plan.server.bios == "pxelinux" else programs.UNDIONLY
        found |= {
            EFI_X64: programs.SNPONLY,
            EFI_BC: programs.SNPONLY,
            HTTP_X64: f"{plan.base}/programs/{programs.SNPONLY}",
        }
    if "arm64" in plan.architectures:
        found |= {EFI_ARM64: programs.GRUB_ARM64, HTTP_ARM64: f"{plan.base}/programs/{programs.GRUB_ARM64}"}
    return found


def configuration(plan: Plan) -> str:
    """dnsmasq.conf(5), one option a line."""
    lines = [
        "port=0",  # no DNS
        f"interface={plan.place.interface}",
        f"listen-address={plan.place.address}",
        "bind-interfaces",  # other interfaces may have servers of their own
        "log-facility=-",
        "enable-tftp",
        f"tftp-root={plan.folder}",
        "tftp-no-fail",
    ]
    if plan.server.dhcp == "none":
        return "\n".join(lines) + "\n"
    leases = "/dev/null" if plan.server.dhcp == "proxy" else plan.folder.parent / "leases"
    lines += [
        "log-dhcp",
        "no-ping",
        f"dhcp-leasefile={leases}",
        "dhcp-match=set:ipxe,175",
        *(f"dhcp-mac=set:pi,{pattern}" for pattern in raspberry_patterns()),
        *(_proxy(plan) if plan.server.dhcp == "proxy" else _full(plan)),
    ]
    return "\n".join(lines) + "\n"


def raspberry_patterns() -> list[str]:
    """The hardware addresses of Raspberry Pis as dnsmasq writes them; it knows whole bytes only."""
    return [":".join([*(one[at : at + 2] for at in (0, 2, 4)), "*", "*", "*"]) for one in RASPBERRY_PI if len(one) == 6]


def _proxy(plan: Plan) -> list[str]:
    lines = [
        f"dhcp-range={plan.place.network.network_address},proxy,{plan.place.network.netmask}",
        "dhcp-pxe-vendor=PXEClient,HTTPClient",
        f"dhcp-boot=tag:ipxe,{plan.base}/boot/ipxe",
        # Shown to a Raspberry Pi alone: what its firmware looks for in the answer.
        'pxe-service=tag:pi,0,"Raspberry Pi Boot"',
    ]
    for kind, loader in loaders(plan).items():
        if kind in (HTTP_X64, HTTP_ARM64):
            # It takes what the offer itself says, and asks for nothing more, as PXE does.
            tag = f"kind{kind}"
            lines += [f"dhcp-match=set:{tag},option:client-arch,{kind}", f"dhcp-boot=tag:{tag},tag:!ipxe,{loader}"]
        else:
            lines.append(f'pxe-service=tag:!ipxe,tag:!pi,{kind},"{_MESSAGE}",{loader}')
    return lines


def _full(plan: Plan) -> list[str]:
    server = plan.server
    lines = [
        f"dhcp-range={plan.first},{plan.last},{plan.place.network.netmask},{LEASE}",
        "dhcp-authoritative",
        f"dhcp-option=3{',' + server.gateway if server.gateway else ''}",
        f"dhcp-option=6{',' + ','.join(server.dns) if server.dns else ''}",
        'pxe-service=tag:pi,0,"Raspberry Pi Boot"',
        f"dhcp-boot=tag:ipxe,{plan.base}/boot/ipxe",
    ]
    for kind, loader in loaders(plan).items():
        tag = f"kind{kind}"
        lines += [f"dhcp-match=set:{tag},option:client-arch,{kind}", f"dhcp-boot=tag:{tag},tag:!ipxe,tag:!pi,{loader}"]
        if kind in (HTTP_X64, HTTP_ARM64):
            lines.append(f"dhcp-option-force=tag:{tag},60,HTTPClient")  # UEFI takes no other answer
    return lines


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a line of the log tells: a client's hardware address, or its address, or both; `file` is what TFTP sent."""

    mac: str = ""
    address: str = ""
    file: str = ""


_ACK = re.compile(r"\bDHCPACK\(\S+\) (\d+\.\d+\.\d+\.\d+) ([0-9a-f]{2}(?::[0-9a-f]{2}){5})")
_ASKED = re.compile(
    r"\b(DHCPDISCOVER|DHCPREQUEST|PXE)\(\S+\) (?:(\d+\.\d+\.\d+\.\d+) )?([0-9a-f]{2}(?::[0-9a-f]{2}){5})"
)
_SENT = re.compile(r"\bsent (\S+) to (\d+\.\d+\.\d+\.\d+)$")
_FATAL = re.compile(r"^dnsmasq: (.*)")


def sighting(line: str) -> Sighting | None:
    """Read a line of dnsmasq's log."""
    if found := _ACK.search(line):
        return Sighting(mac=found[2], address=found[1])
    if found := _ASKED.search(line):
        # In a request it is the address that it would like to have; to PXE it speaks from the one that it has.
        return Sighting(mac=found[3], address=(found[2] or "") if found[1] == "PXE" else "")
    if found := _SENT.search(line):
        return Sighting(address=found[2], file=found[1])
    return None


@contextmanager
def running(plan: Plan, seen: Callable[[Sighting], None], ended: Callable[[HostError], None]) -> Generator[None]:
    """dnsmasq for the time of the context. `seen` and `ended` are called from another thread. Raises HostError."""
    leaving = threading.Event()
    conf = plan.folder.parent / "dnsmasq.conf"
    conf.write_text(configuration(plan))
    with spawn(["dnsmasq", "--keep-in-foreground", f"--conf-file={conf}"], stderr=-1, dies_with_us=True) as process:
        stream = process.stderr
        assert stream is not None
        up = threading.Event()
        last: list[str] = []

        def follow() -> None:
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip()
                last[:] = [*last[-9:], line]
                if "TFTP root is" in line:
                    up.set()
                if (found := sighting(line)) is not None:
                    seen(found)
            process.wait()
            if not leaving.is_set():
                ended(_why(last, process.returncode))
            up.set()

        reading = threading.Thread(target=follow, daemon=True)
        reading.start()
        up.wait(10)
        if process.poll() is not None:
            raise _why(last, process.returncode)
        try:
            yield
        finally:
            leaving.set()
            process.terminate()  # Before the stream is closed, which another thread reads.
            reading.join(PATIENCE)


def _why(lines: list[str], code: int) -> HostError:
    """Why dnsmasq has ended, in its own words."""
    said = [found[1] for line in lines if (found := _FATAL.match(line.strip()))]
    text = (said or [line.strip() for line in lines if line.strip()] or [f"exit code {code}"])[-1]
    if "Address already in use" in text:
        return HostError(
            f"dnsmasq cannot start: {text}", hint="`sudo ss -lnpu 'sport = :67'` says which other server has the port"
        )
    if "ermission denied" in text or "not permitted" in text:
        return HostError(
            f"dnsmasq cannot start: {text}", hint="run it as root, or as a service: `ovenbird serve --unit`"
        )
    return HostError(f"dnsmasq ended: {text}")
