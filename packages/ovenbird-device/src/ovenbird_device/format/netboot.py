"""`netboot/manifest.json`: what a folder holds that diskless machines boot from the network.

A build writes it beside kernel, initrd and root image; a boot server reads it, and may read one that somebody else
made. So it is decoded strictly: names that lead out of the folder, sums that are none and sizes that cannot be are
refused, with one line that says which. `command_line` is what every client gets; a server adds `ovenbird.root=URL`, and
what is one client's own, behind it (of equal words the last one wins).
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from ovenbird_device.format import FormatError
from ovenbird_device.format.cmdline import MOST, PREFIX, words

FORMAT: Final = 1
FOLDER: Final = "netboot"
"""The folder of such files among the outputs of a build."""
MANIFEST: Final = "manifest.json"
LARGEST: Final = 1 << 40
"""Bytes of one file: more than any client could hold."""
ROOM: Final = 700
"""Characters of the command line that are left to a server: URL of the root, addresses, a client's own words."""
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~-]{0,126}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}", re.ASCII)
_LINE = re.compile(r"[\x20-\x7e]*", re.ASCII)


class NetbootFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the folder: its name without folders, the SHA-256 of its content, its size in bytes."""

    file: str
    sha256: str
    size: int


class Netboot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one build gives to machines that boot from the network."""

    format: int
    name: str
    version: str
    board: str
    architecture: Literal["amd64", "arm64"]
    kernel: NetbootFile
    initrd: NetbootFile
    root: NetbootFile
    command_line: str

    @property
    def files(self) -> tuple[NetbootFile, NetbootFile, NetbootFile]:
        """Kernel, initrd and root."""
        return self.kernel, self.initrd, self.root


def dump(value: Netboot) -> bytes:
    """The JSON text, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def load(text: bytes) -> Netboot:
    """Read a manifest that anybody may have written; FormatError says in one line what is wrong with it."""
    try:
        value = msgspec.json.decode(text, type=Netboot)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FormatError(f"the netboot manifest cannot be read: {error}") from error
    if wrong := _complaint(value):
        raise FormatError(f"the netboot manifest cannot be used: {wrong}")
    return value


def _complaint(value: Netboot) -> str:
    """What is wrong with a manifest whose types are right; empty if nothing is."""
    if value.format != FORMAT:
        return f"it has format {value.format}, and this Ovenbird reads format {FORMAT}"
    for what in ("name", "version", "board"):
        if not _WORD.fullmatch(getattr(value, what)):
            return f"{what} {_shown(getattr(value, what))} is none"
    for what, file in zip(("kernel", "initrd", "root"), value.files, strict=True):
        if not _FILE.fullmatch(file.file) or file.file == MANIFEST:
            return f"{what} is in {_shown(file.file)}, which names no file of the folder"
        if not _SHA256.fullmatch(file.sha256):
            return f"the SHA-256 of {what} is {_shown(file.sha256)}, not 64 hexadecimal digits"
        if not 0 < file.size <= LARGEST:
            return f"{what} has {file.size} bytes"
    if len({file.file for file in value.files}) < len(value.files):
        return "kernel, initrd and root are not three files"
    return _line_complaint(value.command_line, value.root.sha256)


def _line_complaint(line: str, root: str) -> str:
    """What is wrong with a command line for a root of this SHA-256."""
    if not _LINE.fullmatch(line):
        return "the command line has characters that are not printable ASCII"
    if len(line) > MOST - ROOM:
        return f"the command line has {len(line)} characters; {MOST - ROOM} fit"
    said = words(line)
    if any(word.startswith(f"{PREFIX}root=") for word in said):
        return f"the command line names a root, which is the server's to do: {PREFIX}root="
    if [word for word in said if word.startswith(f"{PREFIX}hash=")] != [f"{PREFIX}hash=sha256:{root}"]:
        return f"the command line must have exactly one {PREFIX}hash=, with the SHA-256 of root"
    return ""


def _shown(text: str) -> str:
    """A text of anybody's, short and in one line."""
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")
