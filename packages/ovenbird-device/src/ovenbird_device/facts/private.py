"""Which addresses are private: who can be in the same house."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Loopback, RFC 1918, link-local and unique local addresses.
PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fe80::/10",
        "fc00::/7",
    )
)


def is_private(text: str) -> bool:
    """Whether a text is a private address. What is no address is not."""
    return within(text, PRIVATE)


def within(text: str, networks: tuple[Network, ...]) -> bool:
    """Whether a text is an address in one of the networks. IPv4 in IPv6 counts as what it stands for."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return any(address in network for network in networks if network.version == address.version)
