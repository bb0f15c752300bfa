"""What GRUB decides about a disk, written down a second time: from the raw bytes, after `grub.cfg` alone.

Nothing of the device's or the workstation's code is used here, so that a mistake in theirs cannot hide itself. It reads
just as much of FAT as GRUB needs to find three files. `test_with_grub.py` holds it against the real GRUB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
NAMES: tuple[str, ...] = (
    "ovenbird",
    "active",
    "trial",
    "tries",
    "attempts",
    "good_a",
    "good_b",
    "failed_a",
    "failed_b",
)
SIGNATURE = b"# GRUB Environment Block\n"


@dataclass(frozen=True)
class Found:
    """A file: where its 512 byte pieces are on the disk, and its size."""

    pieces: tuple[int, ...]
    size: int


def find(read: Read, start: int, path: str) -> Found | None:
    """A file of the FAT at byte `start` of the disk; None if there is no such file, or no FAT."""
    boot = read(start, 512)
    if boot[510:] != b"\x55\xaa":
        return None
    per_cluster, reserved, tables, entries = struct.unpack_from("<BHBH", boot, 13)
    table16, table32, root32 = *struct.unpack_from("<H", boot, 22), *struct.unpack_from("<I4xI", boot, 36)
    if struct.unpack_from("<H", boot, 11)[0] != 512 or not (per_cluster and tables and (table16 or table32)):
        return None
    table_at = start + reserved * 512
    root_at = table_at + tables * (table16 or table32) * 512
    data_at = root_at + entries * 32
    wide = table16 == 0

    def clusters(first: int) -> list[int]:
        chain: list[int] = []
        while 2 <= first < (0x0FFFFFF8 if wide else 0xFFF8) and len(chain) < 70000:
            chain.append(first)
            raw = read(table_at + first * (4 if wide else 2), 4 if wide else 2)
            first = int.from_bytes(raw, "little") & (0x0FFFFFFF if wide else 0xFFFF)
        return chain

    def pieces(first: int) -> list[int]:
        return [
            data_at + (one - 2) * per_cluster * 512 + index * 512
            for one in clusters(first)
            for index in range(per_cluster)
        ]

    folder = pieces(root32) if wide else [root_at + at for at in range(0, entries * 32, 512)]
    words = path.upper().split("/")
    for depth, word in enumerate(words):
        stem, _, ending = word.partition(".")
        name = stem.ljust(8).encode() + ending.ljust(3).encode()
        content = b"".join(read(at, 512) for at in folder)
        entry = next(
            (content[at : at + 32] for at in range(0, len(content), 32) if content[at : at + 11] == name), None
        )
        if entry is None:
            return None
        high, low, size = struct.unpack_from("<H4xHI", entry, 20)
        folder = pieces(high << 16 | low)
        if depth == len(words) - 1:
            return Found(tuple(folder), size)
    return None


def environment(block: bytes) -> dict[str, str] | None:
    """The variables of a copy, if `grub.cfg` takes them."""
    if not block.startswith(SIGNATURE):
        return None
    lines = block.decode("latin-1").split("\n")
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    line = "".join(values.get(name, "") for name in NAMES)
    if not re.fullmatch(r"1[ab][-abr][0-9][0-9][01][01][01][01]", line) or values["active"] == values["trial"]:
        return None
    return {name: values[name] for name in NAMES}


def changed(block: bytes, values: dict[str, str]) -> bytes:
    """The copy as GRUB's `save_env` leaves it: new values in their old places."""
    for name in NAMES:
        block = re.sub(rf"(?m)^{name}=.$".encode(), f"{name}={values[name]}".encode(), block)
    return block


@dataclass
class Selector:
    """GRUB in front of a disk. `there` says which slots have a `slot.cfg`."""

    copies: list[dict[str, str] | None]
    there: dict[str, bool]

    @classmethod
    def of(cls, read: Read, places: dict[str, int]) -> Selector:
        """Read the disk; `places` has the start of `select`, `boot-a` and `boot-b`."""
        copies: list[dict[str, str] | None] = []
        for name in ("grub/grubenv", "grub/grubenv2"):
            file = find(read, places["select"], name)
            assert file is not None, "nothing but the content of the copies is ever written on select"
            assert file.size == 1024
            copies.append(environment(b"".join(read(at, 512) for at in file.pieces[:2])))
        there: dict[str, bool] = {}
        for slot in "ab":
            file = find(read, places[f"boot-{slot}"], "slot.cfg")
            there[slot] = file is not None and file.size > 0
        return cls(copies, there)

    def boot(self) -> tuple[str, bool]:
        """Decide, and write what GRUB writes: the slot ("none" if there is nothing) and whether it is a trial."""
        readable = next((copy for copy in self.copies if copy is not None), None)
        state = dict(zip(NAMES, "1a-091000", strict=True)) if readable is None else dict(readable)
        choice = self._decide(state, readable is not None)
        self.copies = [None if copy is None else dict(state) for copy in self.copies]
        return choice

    def _decide(self, state: dict[str, str], saved: bool) -> tuple[str, bool]:
        trial = state["trial"]
        if trial == "r":  # These disks have no rescue.
            trial, state["trial"], state["tries"] = "-", "-", "0"
        if trial != "-":
            if state["tries"] != "0" and self.there[trial] and saved:
                state["tries"] = str(int(state["tries"]) - 1)
                return trial, True
            state.update({f"failed_{trial}": "1", "trial": "-", "tries": "0"})
        active = state["active"]
        other = "b" if active == "a" else "a"
        if self.there[active] and state["attempts"] != "0":
            state["attempts"] = str(int(state["attempts"]) - 1)
            return active, False
        if self.there[other] and (state[f"good_{other}"] == "1" or not self.there[active]):
            state.update({f"good_{active}": "0", f"failed_{active}": "1", f"failed_{other}": "0"})
            state.update({"active": other, "attempts": "5"})
            return other, False
        return (active, False) if self.there[active] else ("none", False)
