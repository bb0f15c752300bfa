"""The two kinds of selectors, and what a disk looks like that has one: which partition is which, and which file makes a
boot partition one that can be booted. Numbers are part of the contract (docs/CONTRACT.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """One kind. `named`: the partition table has names, which must be the ones here."""

    name: str
    numbers: Mapping[str, int]
    marker: str
    """The file on a boot partition without which the selector passes it over."""
    named: bool


GRUB = Kind(
    name="grub",
    numbers={"select": 2, "boot-a": 3, "root-a": 4, "boot-b": 5, "root-b": 6, "rescue": 7, "data": 8},
    marker="slot.cfg",
    named=True,
)
"""GRUB with its environment blocks, on a GPT."""
AUTOBOOT = Kind(
    name="autoboot",
    numbers={"select": 1, "boot-a": 2, "boot-b": 3, "root-a": 5, "root-b": 6, "data": 7},
    marker="config.txt",
    named=False,
)
"""A Raspberry Pi's own boot loader with `autoboot.txt`, on an MBR."""
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (GRUB, AUTOBOOT)}
