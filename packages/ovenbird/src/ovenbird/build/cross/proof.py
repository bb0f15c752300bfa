"""The proof: no file of a finished tree is a program of an architecture that the machine does not run.

Files of packages are the distribution's affair. All else that was made while the tree was the twin must not depend on
the processor: programs, archives of objects, and Python's wheels are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ovenbird.boards.board import Architecture
from ovenbird.build.elf import FIRMWARE, HEAD, foreign_machine, machine_of, runs

_ARCHIVE = b"!<arch>\n"
_MEMBER = 60  # bytes of a member's header (ar(5))
_MEMBERS = 8  # How many of an archive's are looked at.
# Names of processors in the tags of wheels (PEP 425, PEP 600), by Debian's for the architecture.
WHEELS = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "armv6l": "armhf",
    "i686": "i386",
    "riscv64": "riscv64",
}
_TAG = re.compile(rf"_({'|'.join(WHEELS)})$")


def foreign(tree: Path, path: str, target: Architecture) -> str | None:
    """The architecture that a file of a tree is for, if machines of `target` do not run it; else None.

    `path` is the file's path in the tree, without the first slash.
    """
    file = tree / path
    if FIRMWARE in Path(path).parts or file.is_symlink() or not file.is_file():
        return None
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    machine = machine_of(head)
    if machine is None and head.startswith(_ARCHIVE):
        machine = next(_objects(file), None)
    if machine is not None:
        return foreign_machine(machine, target.debian)
    tags: list[str] = []
    if file.name == "WHEEL" and file.parent.suffix == ".dist-info":
        tags = re.findall(r"(?m)^Tag: \S+-\S+-(\S+)$", file.read_text(errors="replace"))
    elif file.suffix == ".whl":
        tags = file.stem.rsplit("-", 1)[-1].split(".")
    named = {WHEELS[match[1]] for tag in tags if (match := _TAG.search(tag))}
    return None if not named or named.intersection(runs(target.debian)) else sorted(named)[0]


def _objects(file: Path) -> Iterator[int]:
    """The machines of the first ELF objects in an archive (ar(5))."""
    with file.open("rb") as stream:
        at = len(_ARCHIVE)
        for _ in range(_MEMBERS):
            stream.seek(at)
            header = stream.read(_MEMBER)
            size = header[48:58].strip()
            if len(header) < _MEMBER or not size.isdigit():
                return
            machine = machine_of(stream.read(HEAD))
            if machine is not None:
                yield machine
            at += _MEMBER + int(size) + int(size) % 2
