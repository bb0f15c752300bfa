"""The recipe that builds what was captured: the base in a file that the next capture writes anew, and the user's own.

`ovenbird.toml` is written once and then belongs to the user; it includes `captured.toml`, which follows the tarball.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from ovenbird.build.elf import HEAD, MACHINES, machine_of
from ovenbird.capture.image import ROOTS
from ovenbird.capture.tree import Kind, Member
from ovenbird.files import write_atomically
from ovenbird.recipe.model import MEBIBYTE, RELEASES
from ovenbird.recipe.size import format_size

TARBALL: Final = "root.tar.zst"
CAPTURED: Final = "captured.toml"
RECIPE: Final = "ovenbird.toml"
BOARDS: Final = {"amd64": "vm", "arm64": "vm-arm64", "armhf": "rpi-armhf"}
"""The board of a new recipe, by the architecture of the machine's programs."""
# What the agent and the build's own steps look for in a tree with systemd, by Debian's package that brings it.
NEEDED: Final = {
    "ca-certificates": ("/usr/sbin/update-ca-certificates",),
    "dbus": ("/usr/bin/dbus-daemon", "/usr/bin/dbus-broker"),
    "e2fsprogs": ("/sbin/e2fsck",),
    "iproute2": ("/bin/ip", "/sbin/ip"),
    "kmod": ("/bin/kmod",),
    "openssl": ("/usr/bin/openssl",),
    "python3": ("/usr/bin/python3",),
    "systemd-resolved": ("/lib/systemd/systemd-resolved",),
    "systemd-timesyncd": ("/lib/systemd/systemd-timesyncd",),
    "udev": ("/lib/systemd/systemd-udevd",),
}
_TEXTS: Final = ("/etc/os-release", "/usr/lib/os-release", "/etc/hostname")
_LARGEST_TEXT: Final = 1 << 16
_PROGRAMS: Final = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")
_STEP: Final = 64 * MEBIBYTE


@dataclass(slots=True)
class Findings:
    """What a tree says of itself while it passes by."""

    machines: Counter[int] = field(default_factory=Counter[int])
    texts: dict[str, str] = field(default_factory=dict[str, str])

    def watch(self, members: Iterator[Member]) -> Iterator[Member]:
        """Hand the members on, and look at the few that tell something."""
        for entry, content in members:
            stream: IO[bytes] = content
            if entry.path in _TEXTS and 0 < entry.size < _LARGEST_TEXT:
                data = content.read(entry.size)
                self.texts[entry.path] = data.decode("utf-8", "replace")
                stream = BytesIO(data)
            elif entry.size >= HEAD and entry.kind is Kind.FILE and entry.path.startswith(_PROGRAMS):
                head = content.read(HEAD)
                machine = machine_of(head)
                if machine is not None:
                    self.machines[machine] += 1
                stream = _Joined(head, content)
            yield entry, stream

    @property
    def architecture(self) -> str | None:
        """The architecture of most of its programs, by Debian's name; None where that is none that is known."""
        most = self.machines.most_common(1)
        return next((name for name, number in MACHINES.items() if most and number == most[0][0]), None)

    @property
    def release(self) -> dict[str, str]:
        """What os-release(5) says."""
        text = self.texts.get("/usr/lib/os-release") or self.texts.get("/etc/os-release") or ""
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {name: value.strip().strip("\"'") for name, _, value in pairs}

    @property
    def name(self) -> str:
        """A name for the image: the machine's own, as far as one can be made of it."""
        short = self.texts.get("/etc/hostname", "").strip().partition(".")[0].lower()
        return re.sub(r"[^a-z0-9-]+", "-", short).strip("-")[:63] or "captured"


class _Joined(BytesIO):
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        super().__init__(head)
        self._rest = rest

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is None or size < 0:
            return data + self._rest.read()
        return data + (self._rest.read(size - len(data)) if len(data) < size else b"")


def init_of(paths: Container[str]) -> str | None:
    """The program that a tree with these paths begins with; None if it has none that is known."""
    return next((path for path in ROOTS if _has(paths, path)), None)


def _has(paths: Container[str], path: str) -> bool:
    return path in paths or f"/usr{path}" in paths


def lacking(paths: Container[str]) -> str | None:
    """What to install on a machine with systemd, so that the agent and a build of it find what they need; None if
    nothing is missing. A tree without systemd gets no agent.
    """
    if not _has(paths, "/lib/systemd/systemd"):
        return None
    missing = [name for name, places in NEEDED.items() if not any(_has(paths, place) for place in places)]
    if not missing:
        return None
    return f"the build will want more in it; install it there and capture again: apt-get install {' '.join(missing)}"


def write_recipe(
    folder: Path, findings: Findings, *, init: str, origin: str, sha256: str, name: str | None, board: str | None
) -> bool:
    """Write both files; tells whether `ovenbird.toml` is new. A user's own is left as it is."""
    release = findings.release
    lines = [
        f"# What `ovenbird capture` took from {origin}. The next capture into this folder writes it anew: what you",
        f"# change belongs into {RECIPE}.",
        "[base]",
        'distribution = "tar"',
        f"tarball = {json.dumps(TARBALL)}",
        f"sha256 = {json.dumps(sha256)}",
        f"init = {json.dumps(init)}",
    ]
    if release.get("ID") == "debian" and release.get("VERSION_CODENAME") in RELEASES:
        lines.append(f"release = {json.dumps(release['VERSION_CODENAME'])}")
    write_atomically(folder / CAPTURED, "".join(f"{line}\n" for line in lines).encode())
    if (folder / RECIPE).exists():
        return False
    size = (folder / TARBALL).stat().st_size
    root = max(512 * MEBIBYTE, -(-size * 3 // 2 // _STEP) * _STEP)
    text = _recipe(release, name or findings.name, board or BOARDS.get(findings.architecture or "", "vm"), root)
    write_atomically(folder / RECIPE, text.encode())
    return True


def _recipe(release: Mapping[str, str], name: str, board: str, root: int) -> str:
    described = release.get("PRETTY_NAME", "")
    about = (
        f"description = {json.dumps(f'{described}, set up by hand'[:200], ensure_ascii=False)}\n" if described else ""
    )
    return f"""\
# A system that was set up by hand. This file is yours; {CAPTURED} comes from `ovenbird capture`.
include = [{json.dumps(CAPTURED)}]

[image]
name = {json.dumps(name)}
version = "1.0.0"
board = {json.dumps(board)}
{about}
[disk]
root = {json.dumps(format_size(root))}
"""
