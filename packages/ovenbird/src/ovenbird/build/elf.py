"""The little of an ELF file (elf(5)) that a build asks for: who runs it, and a library's own name."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
HEAD = 20  # bytes, to the end of e_machine
MACHINES = {"i386": 3, "armhf": 40, "amd64": 62, "arm64": 183, "riscv64": 243}
"""The machine of an ELF file (e_machine), by Debian's name for the architecture."""
ANYWHERE = (0, 247)
"""Machines of files that run on no processor: none, and BPF, whose programs the kernel compiles."""
_RUNS_TOO = {"amd64": ("i386",), "arm64": ("armhf",)}
FIRMWARE = "firmware"
"""Folders of this name hold programs for other processors, which nobody looks at."""
_SHARED = 3  # ET_DYN
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # PT_*
_END, _STRINGS, _SONAME = 0, 5, 14  # DT_*


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library: its machine, and the name under which programs ask for it; None if it has no name."""

    machine: int
    soname: str | None


def machine_of(head: bytes) -> int | None:
    """The machine (e_machine) that a file's first bytes name; None where it is no ELF file."""
    if len(head) < HEAD or head[:4] != MAGIC:
        return None
    return int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")


def runs(architecture: str) -> tuple[str, ...]:
    """Whose programs the processors of an architecture run, all by Debian's names."""
    return (architecture, *_RUNS_TOO.get(architecture, ()))


def foreign_machine(machine: int | None, architecture: str) -> str | None:
    """What a file of this machine is for, where processors of `architecture` do not run it; else None."""
    if machine is None or machine in ANYWHERE or machine in [MACHINES[name] for name in runs(architecture)]:
        return None
    return next((name for name, number in MACHINES.items() if number == machine), f"ELF machine {machine}")


def is_static(file: Path) -> bool:
    """Whether a program needs nothing but itself: no loader is named in it (PT_INTERP)."""
    with file.open("rb") as stream:
        data = stream.read(1 << 16)
    if data[:4] != MAGIC:
        return False
    try:
        return all(what != _INTERPRETER for what, *_ in _segments(data))
    except _DAMAGED:
        return False


# What reading a damaged file comes to: its end, a place that no file can have, text that is none, an address that
# nothing is loaded at.
_DAMAGED = (struct.error, OverflowError, IndexError, ValueError, StopIteration)


def _segments(data: bytes) -> list[tuple[int, int, int, int]]:
    """The program headers: of each its type, offset, address and size in the file."""
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    table = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    form = struct.Struct(order + ("I4xQQ8xQ" if wide else "IIIxxxxI"))
    return [form.unpack_from(data, table + number * size) for number in range(count)]


def read_library(file: Path) -> Library | None:
    """What a shared library says of itself; None for anything else, damaged files among it."""
    with file.open("rb") as stream:
        if stream.read(4) != MAGIC:
            return None
        stream.seek(0)
        data = stream.read()
    try:
        return _library(data)
    except _DAMAGED:
        return None


def _library(data: bytes) -> Library | None:
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", data, 16)
    if kind != _SHARED:
        return None
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for what, offset, address, length in _segments(data):
        if what == _LOAD:
            loads.append((address, offset, length))
        elif what == _DYNAMIC:
            dynamic = (offset, length)
    if dynamic is None:
        return None
    pair = struct.Struct(order + ("qQ" if wide else "iI"))
    found: dict[int, int] = {}
    for at in range(dynamic[0], dynamic[0] + dynamic[1], pair.size):
        tag, value = pair.unpack_from(data, at)
        if tag == _END:
            break
        found.setdefault(tag, value)
    if _SONAME not in found or _STRINGS not in found:
        return Library(machine, None)
    begin = next(offset + found[_STRINGS] - address for address, offset, length in loads
                 if address <= found[_STRINGS] < address + length) + found[_SONAME]  # fmt: skip
    return Library(machine, data[begin : data.index(b"\0", begin)].decode())
