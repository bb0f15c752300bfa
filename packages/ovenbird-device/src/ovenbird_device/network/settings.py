"""What can be set for an interface, and how it stands in a file of systemd-networkd (systemd.network(5)).

Every value is an address that was parsed and is written as this module writes it, so nothing that came over the network
can bring a line of its own into the file. The settings themselves are in the file's first line, to be read back.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

MOST_ADDRESSES, MOST_SERVERS = 8, 4
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z", re.ASCII)
_HEAD = "# ovenbird "
_KEPT = ("MulticastDNS", "LinkLocalAddressing", "LLMNR")
"""What an interface keeps of the image's own file: whether NAME.local leads here is not this page's business."""
_WITH_DNS = "\n[DHCPv4]\nUseDNS=no\n\n[DHCPv6]\nUseDNS=no\n\n[IPv6AcceptRA]\nUseDNS=no\n"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class SettingsError(ValueError):
    """These settings make no sense; the message is for people."""


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An interface's settings. Without `addresses`, the network gives them (DHCP and router advertisements)."""

    addresses: tuple[str, ...] = ()
    """With their prefix lengths: `192.168.1.7/24`."""
    gateways: tuple[str, ...] = ()
    """At most one of each family; with fixed addresses only."""
    dns: tuple[str, ...] = ()
    """Name servers, in place of those that the network tells."""


def is_interface(name: str) -> bool:
    """Whether a text can be the name of an interface that is set here."""
    return _INTERFACE.match(name) is not None and name != "lo"


def check(given: NetworkSettings) -> NetworkSettings:
    """The settings in canonical form. Raises SettingsError."""
    if len(given.addresses) > MOST_ADDRESSES or len(given.dns) > MOST_SERVERS:
        raise SettingsError(f"At most {MOST_ADDRESSES} addresses and {MOST_SERVERS} name servers.")
    own = [_interface(text) for text in given.addresses]
    gateways = [_address(text, "gateway") for text in given.gateways]
    if gateways and not own:
        raise SettingsError("A gateway goes with fixed addresses; without them, the network tells it.")
    if len({one.version for one in gateways}) != len(gateways):
        raise SettingsError("There can be one gateway for IPv4 and one for IPv6.")
    for gateway in gateways:
        _check_gateway(gateway, own)
    return NetworkSettings(
        addresses=tuple(dict.fromkeys(one.with_prefixlen for one in own)),
        gateways=tuple(str(one) for one in gateways),
        dns=tuple(dict.fromkeys(str(_address(text, "name server")) for text in given.dns)),
    )


def _interface(text: str) -> Interface:
    try:
        found = ipaddress.ip_interface(text if "%" not in text else "")
    except ValueError:
        raise SettingsError(f"{text[:60]!r} is no address with a prefix length, as 192.168.1.7/24 is.") from None
    if "/" not in text:
        raise SettingsError(f"{text[:60]} lacks its prefix length, as 192.168.1.7/24 has.")
    network, address = found.network, found.ip
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        raise SettingsError(f"{address} can be nobody's address.")
    if network.prefixlen == 0:
        raise SettingsError(f"{found} claims the whole internet for its own network.")
    if found.version == 4 and network.prefixlen < 31 and address in (network[0], network[-1]):
        raise SettingsError(f"{address} stands for all of {network}, and is nobody's address.")
    return found


def _address(text: str, what: str) -> Address:
    try:
        found = ipaddress.ip_address(text if "%" not in text else "")
    except ValueError:
        raise SettingsError(f"{text[:60]!r} is no address for a {what}.") from None
    if found.is_multicast or found.is_unspecified or found.is_loopback:
        raise SettingsError(f"{found} can be no {what}.")
    return found


def _check_gateway(gateway: Address, own: list[Interface]) -> None:
    """A gateway that is not on the wire is one that the kernel refuses."""
    if isinstance(gateway, ipaddress.IPv6Address) and gateway.is_link_local:
        return
    if any(gateway == one.ip for one in own):
        raise SettingsError(f"{gateway} is this device's own address, so it can be no gateway.")
    if not any(gateway in one.network for one in own if one.version == gateway.version):
        raise SettingsError(f"The gateway {gateway} is in none of the networks of those addresses.")


def render(name: str, settings: NetworkSettings, image: str, match: Sequence[str] = ()) -> str:
    """The file for an interface, or for all that `match` says (lines of [Match]). `image` is the text of the image's
    own file, which says how the device is called.
    """
    lines = [
        _HEAD + msgspec.json.encode(settings).decode(),
        "# Written on the device.",
        "[Match]",
        *(match or (f"Name={name}",)),
        "",
        "[Network]",
    ]
    lines += [f"Address={one}" for one in settings.addresses] or ["DHCP=yes"]
    lines += [f"Gateway={one}" for one in settings.gateways]
    lines += [f"DNS={one}" for one in settings.dns]
    lines += [line for line in image.splitlines() if line.partition("=")[0] in _KEPT]
    more = _WITH_DNS if settings.dns and not settings.addresses else ""
    return "\n".join(lines) + "\n" + more


def read(path: Path) -> NetworkSettings | None:
    """What a file written here says; None if there is none."""
    try:
        first = path.read_bytes()[:4096].decode("utf-8", "replace").partition("\n")[0]
        return msgspec.json.decode(first.removeprefix(_HEAD), type=NetworkSettings) if first.startswith(_HEAD) else None
    except (OSError, msgspec.MsgspecError):
        return None


def parse(fields: dict[str, str]) -> NetworkSettings:
    """The settings in a form: `mode` (`dhcp`, `fixed`), and with blanks or commas `addresses`, `gateways` and `dns`.

    Raises SettingsError.
    """
    mode = fields.get("mode", "")
    lists = {name: tuple(fields.get(name, "").replace(",", " ").split()) for name in ("addresses", "gateways", "dns")}
    if mode not in ("dhcp", "fixed"):
        raise SettingsError("mode is dhcp or fixed.")
    if mode == "dhcp":
        lists |= {"addresses": (), "gateways": ()}
    elif not lists["addresses"]:
        raise SettingsError("Fixed needs at least one address.")
    return check(NetworkSettings(**lists))
