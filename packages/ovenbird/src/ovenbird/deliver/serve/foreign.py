"""What to type into a DHCP server that is there already, for those who let it name the boot server itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

from ovenbird.deliver.serve import dnsmasq
from ovenbird.deliver.serve.dnsmasq import HTTP_ARM64, HTTP_X64, Plan


class Kind(StrEnum):
    """The servers whose language is known."""

    DNSMASQ = "dnsmasq"
    ISC = "isc"
    KEA = "kea"


def text(kind: Kind, plan: Plan) -> str:
    """The lines, with a word on where they go. The server itself then runs with `--dhcp none`, for TFTP and HTTP."""
    loaders = dnsmasq.loaders(plan)
    return {Kind.DNSMASQ: _dnsmasq, Kind.ISC: _isc, Kind.KEA: _kea}[kind](plan, loaders)


def _dnsmasq(plan: Plan, loaders: Mapping[int, str]) -> str:
    lines = [
        "# dnsmasq: into a file in /etc/dnsmasq.d (OpenWrt: `list dhcp_…` in /etc/config/dhcp, or /etc/dnsmasq.conf)",
        "dhcp-match=set:ipxe,175",
        f"dhcp-boot=tag:ipxe,{plan.base}/boot/ipxe",
    ]
    for kind, loader in loaders.items():
        server = "" if "://" in loader else f",,{plan.place.address}"
        lines += [
            f"dhcp-match=set:kind{kind},option:client-arch,{kind}",
            f"dhcp-boot=tag:kind{kind},tag:!ipxe,{loader}{server}",
        ]
        if kind in (HTTP_X64, HTTP_ARM64):
            lines.append(f"dhcp-option-force=tag:kind{kind},60,HTTPClient")
    return "\n".join(lines) + "\n"


def _isc(plan: Plan, loaders: Mapping[int, str]) -> str:
    lines = [
        "# ISC dhcpd: into /etc/dhcp/dhcpd.conf, before the subnets",
        "option arch code 93 = unsigned integer 16;",
        f"next-server {plan.place.address};",
        'if exists user-class and option user-class = "iPXE" {',
        f'  filename "{plan.base}/boot/ipxe";',
    ]
    for kind, loader in loaders.items():
        lines += [f"}} elsif option arch = {kind >> 8:02x}:{kind & 255:02x} {{", f'  filename "{loader}";']
        if kind in (HTTP_X64, HTTP_ARM64):
            lines.append('  option vendor-class-identifier "HTTPClient";')
    return "\n".join([*lines, "}"]) + "\n"


def _kea(plan: Plan, loaders: Mapping[int, str]) -> str:
    classes: list[dict[str, object]] = [
        {
            "name": "ovenbird-ipxe",
            "test": "option[77].hex == 'iPXE'",
            "next-server": plan.place.address,
            "boot-file-name": f"{plan.base}/boot/ipxe",
        }
    ]
    for kind, loader in loaders.items():
        entry: dict[str, object] = {
            "name": f"ovenbird-{kind}",
            "test": f"option[93].hex == 0x{kind:04x} and not member('ovenbird-ipxe')",
            "next-server": plan.place.address,
            "boot-file-name": loader,
        }
        if kind in (HTTP_X64, HTTP_ARM64):
            entry["option-data"] = [{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}]
        classes.append(entry)
    return (
        '// Kea: into "Dhcp4" of /etc/kea/kea-dhcp4.conf\n' + json.dumps({"client-classes": classes}, indent=2) + "\n"
    )
