"""Running programs of another architecture by qemu-user: what there is on this machine, and how a command gets it.

A machine that has the interpreter registered for all (binfmt_misc, flag F) is used as it is. Elsewhere a kernel of 6.7
or newer lets a user namespace have registrations of its own, which is how a build gets them without the machine's
settings being touched (`emulated.py`). Older kernels need the registration.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ovenbird.boards import Architecture
from ovenbird.build.elf import is_static
from ovenbird.errors import HostError
from ovenbird.host import find_tool, missing_tool_hint

REGISTERED = Path("/proc/sys/fs/binfmt_misc")
OWN_SINCE = (6, 7)  # Linux, Documentation/admin-guide/binfmt-misc.rst
PROCESSOR = "QEMU_CPU"
HELPER = Path(__file__).with_name("emulated.py")


@dataclass(frozen=True, slots=True)
class Inside:
    """How a command is run where the emulation is: the words before its own, and its environment.

    `emulator`: what qemu-user wants in the environment of each emulated program, however deep inside.
    `apart`: root is in a user namespace there, and so cannot share what the engine keeps outside of it.
    """

    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    emulator: Mapping[str, str] = field(default_factory=dict[str, str])
    apart: bool = False


def program(target: Architecture) -> str:
    """The name of qemu-user's program for an architecture; one that needs no libraries of its own, as it has to run
    where only the target's are."""
    name = target.facts.emulator
    found = find_tool(name)
    if find_tool(f"{name}-static") is None and found and is_static(Path(found)):
        return name
    return f"{name}-static"


def magic(target: Architecture) -> tuple[str, str]:
    """What the first bytes of the architecture's programs are, and which of their bits count, as binfmt_misc wants it.

    Class, byte order and version; then type (a program or a shared object) and machine (elf(5)).
    """
    facts = target.facts
    head = b"\x7fELF" + bytes([facts.bits // 32, 1, 1]) + bytes(9) + b"\x02\0" + facts.elf.to_bytes(2, "little")
    mask = b"\xff" * 7 + b"\0" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    return "".join(f"\\x{byte:02x}" for byte in head), "".join(f"\\x{byte:02x}" for byte in mask)


def inside(target: Architecture, cache: Path, release: str | None = None) -> Inside:
    """How commands run the target's programs on this machine. Raises HostError where they cannot."""
    if registered(target):
        return Inside(emulator=_processor(target))
    name = program(target)
    found = find_tool(name)
    if found is None:
        raise HostError(f"{name} is not installed", hint=missing_tool_hint(name))
    numbers = re.match(r"(\d+)\.(\d+)", release or platform.release())
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OWN_SINCE:
        raise HostError(
            f"this kernel ({release or platform.release()}) does not let a build register {name} for itself alone",
            hint=f"register it for all: sudo apt-get install {missing_tool_hint(name).split()[-1]} binfmt-support,"
            " or use Linux 6.7 or newer",
        )
    folder = cache / "binfmt_misc"
    folder.mkdir(parents=True, exist_ok=True)
    return replace(_helper(str(folder), found, *magic(target)), emulator=_processor(target))


def _processor(target: Architecture) -> dict[str, str]:
    """What tells qemu-user which processor to play (its manual, "Command line options": -cpu). The user's own wish goes
    first: a stage may have programs for a newer one.
    """
    wanted = os.environ.get(PROCESSOR, target.facts.emulated)
    return {PROCESSOR: wanted} if wanted else {}


def storage() -> Inside:
    """The same without any emulation: to look after what the engine keeps there."""
    return _helper("", "", "", "")


def _helper(*words: str) -> Inside:
    helper = (sys.executable, "-I", "-S", str(HELPER), *words, "--")
    root = os.geteuid() == 0
    # This is how the engine's parts tell each other that they are in a user namespace; it marks what it deletes by
    # other attributes then.
    return Inside(helper, {"_CONTAINERS_USERNS_CONFIGURED": "done"} if root else {}, apart=root)


def registered(target: Architecture, folder: Path = REGISTERED) -> bool:
    """Whether this machine runs the target's programs for everybody, also where the interpreter cannot be seen."""
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        if file.name in ("register", "status"):
            continue
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        fields = dict(line.split(" ", 1) for line in lines if " " in line)
        written = fields.get("magic", "")
        machine = bytes.fromhex(written)[18:20] if re.fullmatch("([0-9a-f]{2})+", written) else b""
        if "enabled" in lines and "F" in fields.get("flags:", "") and machine == target.facts.elf.to_bytes(2, "little"):
            return True
    return False
