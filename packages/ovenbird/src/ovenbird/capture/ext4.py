"""An ext2, ext3 or ext4 file system in a file, read by debugfs(8): nothing is mounted, and nobody has to be root.

debugfs gets its commands as a script and says each of them again before it answers, which is where the answers are
told apart. Contents go into files of their own and are held against the size that the file system tells.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ovenbird.capture.tree import Entry, Kind, Listed, Member
from ovenbird.errors import DiskFullError, ImageError
from ovenbird.files import copy_into
from ovenbird.image.reading.region import Region
from ovenbird.run import Completed, run

ROOT: Final = 2
"""The inode of the root folder (the ext4 documentation of Linux, "Special inodes")."""
_BATCH: Final = 400  # files a run of debugfs
_BATCH_SIZE: Final = 64 << 20  # bytes of them, unless one alone is larger
_RECOVER: Final = 0x4  # s_feature_incompat: the journal is to be replayed
_INLINE: Final = 0x10000000  # i_flags: the content is in the inode itself; debugfs tells all the room there
_ENCRYPTED: Final = 0x800  # i_flags: the content is encrypted (fscrypt)
_KINDS: Final = {
    0o040000: Kind.FOLDER,
    0o100000: Kind.FILE,
    0o120000: Kind.LINK,
    0o020000: Kind.CHARACTERS,
    0o060000: Kind.BLOCKS,
    0o010000: Kind.PIPE,
}
_LINE: Final = re.compile(rb"/(\d+)/([0-7]+)/(\d+)/(\d+)/([^/]*)/(\d*)/\n", re.DOTALL)
_MODE: Final = re.compile(rb"^Inode: \d+ +Type: .*? +Mode: +([0-7]+) +Flags: 0x([0-9a-f]+)", re.MULTILINE)
_OWNER: Final = re.compile(rb"^User: +(\d+) +Group: +(\d+).* Size: (\d+)$", re.MULTILINE)
_TIME: Final = re.compile(rb"^ *mtime: 0x([0-9a-f]+)(?::([0-9a-f]+))?", re.MULTILINE)
_FAST: Final = re.compile(rb'^Fast link dest: "(.*)"\n', re.MULTILINE | re.DOTALL)
_DEVICE: Final = re.compile(rb"^Device major/minor number: (\d+):(\d+) ", re.MULTILINE)
_ATTRIBUTE: Final = re.compile(rb"^  ([a-z]+\.[^\s\"]+) \((\d+)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Inode:
    """What the file system says of a file. `attributes` are the names and sizes of its extended attributes."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    time: int
    target: str | None
    device: tuple[int, int]
    encrypted: bool
    inline: bool
    attributes: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Ext4:
    """The file system in a region. `scratch` is a folder for what debugfs writes."""

    region: Region
    scratch: Path
    notes: list[str] = field(default_factory=list[str])
    _numbers: dict[str, int] = field(default_factory=dict[str, int])
    _inodes: dict[int, Inode] = field(default_factory=dict[int, Inode])

    @classmethod
    def at(cls, region: Region, scratch: Path) -> Ext4:
        """Open a file system; one that was not left in order is repaired in a copy. Raises ImageError."""
        incompatible = struct.unpack("<I", region.read(1024 + 96, 4).ljust(4, b"\0"))[0]
        if not incompatible & _RECOVER:
            return cls(region, scratch)
        copy = scratch / "repaired.img"
        with copy.open("wb") as out:
            out.truncate(region.size)
            if region.offset == 0 and region.size == region.path.stat().st_size:
                copy_into(region.path, out.fileno())
            else:
                at = 0
                while block := region.read(at, 4 << 20):
                    if block.strip(b"\0"):
                        os.pwrite(out.fileno(), block, at)
                    at += len(block)
        done = run(["e2fsck", "-f", "-p", copy], check=False)
        if done.returncode > 2:
            raise _damaged(region, _last(done))
        note = "the file system was not left in order (a running machine's?): a copy of it was repaired and read"
        return cls(Region.whole(copy), scratch, [note])

    def has(self, *paths: str) -> bool:
        """Whether one of these paths is there."""
        done = self._ask([f"stat {path}" for path in paths])
        return any(_MODE.search(answer) for answer in done)

    def text(self, path: str) -> str:
        """The content of a small file; nothing where there is none."""
        self._ask([f"dump {path} text"])
        try:
            return (self.scratch / "text").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        finally:
            (self.scratch / "text").unlink(missing_ok=True)

    def paths(self, below: str = "") -> list[Listed]:
        """Everything below a folder (an absolute path; the root, if nothing is said)."""
        waiting = [(below, self._number(below))]
        found: list[tuple[str, int]] = []
        while waiting:
            answers = self._ask([f"ls -p <{number}>" for _, number in waiting])
            folders: list[tuple[str, int]] = []
            for (path, _), answer in zip(waiting, answers, strict=True):
                for number, mode, name in _names(answer, self.region):
                    one = f"{path}/{os.fsdecode(name)}"
                    if _KINDS.get(mode & 0o170000) is Kind.FOLDER:
                        folders.append((one, number))
                    if mode & 0o170000 in _KINDS:
                        found.append((one, number))
            waiting = folders
        self._numbers.update(found)
        self._look_at({number for _, number in found})
        return [self._listed(path, self._inodes[number]) for path, number in found]

    def inode(self, path: str) -> Inode:
        """What is known of a path that was listed."""
        return self._inodes[self._numbers[path]]

    def _number(self, path: str) -> int:
        number = ROOT
        for name in path.split("/")[1:]:
            answer = self._ask([f"ls -p <{number}>"])[0]
            there = {os.fsdecode(one): inode for inode, _, one in _names(answer, self.region)}
            if name not in there:
                raise ImageError(f"there is no folder {path}", where=str(self.region.path))
            number = there[name]
        return number

    def _look_at(self, numbers: set[int]) -> None:
        wanted = sorted(numbers - self._inodes.keys())
        for start in range(0, len(wanted), 20_000):
            some = wanted[start : start + 20_000]
            for number, answer in zip(some, self._ask([f"stat <{number}>" for number in some]), strict=True):
                self._inodes[number] = _inode(answer, number, self.region)

    def _listed(self, path: str, inode: Inode) -> Listed:
        if inode.encrypted and inode.kind is not Kind.FOLDER:
            raise ImageError(
                f"{path} is encrypted (fscrypt)",
                where=str(self.region.path),
                hint="capture the running machine, which has the key: ovenbird capture USER@HOST",
            )
        return Listed(path, inode.kind, inode.size if inode.kind is Kind.FILE else 0, inode.time)

    def read(self, chosen: Sequence[str]) -> Iterator[Member]:
        """These paths with their contents."""
        first: dict[int, str] = {}
        for batch in self._batches(chosen):
            self._dump(batch, first)
            for path in batch:
                number = self._numbers[path]
                hard_link = first.setdefault(number, path)
                yield self._member(path, number, "" if hard_link == path else hard_link)

    def _batches(self, chosen: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for path in chosen:
            inode = self._inodes[self._numbers[path]]
            more = inode.size if inode.kind is Kind.FILE else 0
            if batch and (len(batch) >= _BATCH or size + more > _BATCH_SIZE):
                yield batch
                batch, size = [], 0
            batch.append(path)
            size += more
        if batch:
            yield batch

    def _dump(self, batch: Sequence[str], before: dict[int, str]) -> None:
        commands: list[str] = []
        for number in dict.fromkeys(self._numbers[path] for path in batch):
            inode = self._inodes[number]
            if number in before:
                continue
            if inode.kind is Kind.FILE or (inode.kind is Kind.LINK and inode.target is None):
                commands.append(f"dump <{number}> content-{number}")
            for index, (name, _) in enumerate(inode.attributes):
                commands.append(f"ea_get -f attribute-{number}-{index} <{number}> {name}")
        if commands:
            self._ask(commands)

    def _member(self, path: str, number: int, hard_link: str) -> Member:
        inode = self._inodes[number]
        entry = Entry(path, inode.kind, inode.mode, inode.uid, inode.gid, time=inode.time, device=inode.device)
        if hard_link:
            return replace(entry, hard_link=hard_link), io.BytesIO()
        attributes = {
            name: self._take(f"attribute-{number}-{index}", size, path)
            for index, (name, size) in enumerate(inode.attributes)
        }
        if inode.kind is Kind.LINK:
            target = inode.target
            if target is None:
                self._shorten(number)
                target = os.fsdecode(self._take(f"content-{number}", inode.size, path))
            return replace(entry, target=target, attributes=attributes), io.BytesIO()
        if inode.kind is not Kind.FILE:
            return replace(entry, attributes=attributes), io.BytesIO()
        self._shorten(number)
        file = self.scratch / f"content-{number}"
        if not file.is_file() or file.stat().st_size != inode.size:
            raise _damaged(self.region, f"{path} cannot be read whole")
        stream = file.open("rb")
        file.unlink()
        return replace(entry, size=inode.size, attributes=attributes), stream

    def _shorten(self, number: int) -> None:
        inode, file = self._inodes[number], self.scratch / f"content-{number}"
        if inode.inline and file.is_file() and file.stat().st_size > inode.size:
            os.truncate(file, inode.size)

    def _take(self, name: str, size: int, path: str) -> bytes:
        file = self.scratch / name
        content = file.read_bytes() if file.is_file() else b""
        file.unlink(missing_ok=True)
        if len(content) != size:
            raise _damaged(self.region, f"what belongs to {path} cannot be read whole")
        return content

    def _ask(self, commands: Sequence[str]) -> list[bytes]:
        """Run commands of debugfs; the answer to each."""
        script = self.scratch / "script"
        script.write_text("".join(f"{command}\n" for command in commands))
        device = f"{self.region.path.resolve()}?offset={self.region.offset}"
        with (self.scratch / "answers").open("w+b") as out:
            done = run(["debugfs", "-f", script.resolve(), device], cwd=self.scratch, stdout=out, check=False)
            out.seek(0)
            said = out.read()
        if "No space left on device" in done.stderr:
            raise DiskFullError("no space left on the disk", where=str(self.scratch), hint="free some space")
        if "Filesystem not open" in done.stderr or "while trying to open" in done.stderr:
            raise _damaged(self.region, _last(done))
        return list(self._apart(said, commands))

    def _apart(self, said: bytes, commands: Sequence[str]) -> Iterator[bytes]:
        """The answer to each command, out of all that debugfs has said."""
        echoes = [f"debugfs: {command}\n".encode() for command in commands]
        begin = 0
        for number, echo in enumerate(echoes):
            if not said.startswith(echo, begin):
                raise _damaged(self.region, f"debugfs does not answer to {commands[number]}")
            begin += len(echo)
            end = len(said)
            if number + 1 < len(echoes) and not said.startswith(echoes[number + 1], begin):
                end = said.find(b"\n" + echoes[number + 1], begin) + 1
                if not end:
                    raise _damaged(self.region, f"debugfs does not answer to {commands[number + 1]}")
            elif number + 1 < len(echoes):
                end = begin
            yield said[begin:end]
            begin = end


def _names(answer: bytes, region: Region) -> Iterator[tuple[int, int, bytes]]:
    """Inode, mode and name of each entry of a folder, from the answer to `ls -p`."""
    position = 0
    while match := _LINE.match(answer, position):
        position = match.end()
        number, mode, name = int(match[1]), int(match[2], 8), match[5]
        if number and name not in (b".", b".."):
            yield number, mode, name
    if answer[position:].strip():
        raise _damaged(region, "a folder cannot be read")


def _inode(answer: bytes, number: int, region: Region) -> Inode:
    mode, owner, changed = _MODE.search(answer), _OWNER.search(answer), _TIME.search(answer)
    kind = _kind(answer)
    if mode is None or owner is None or changed is None or kind is None:
        raise _damaged(region, f"inode {number} cannot be read")
    seconds = int(changed[1], 16)
    if changed[2]:  # The two lowest bits of the extra field carry on the seconds (ext4, "Inode Timestamps").
        seconds = (seconds - (1 << 32) if seconds >= 1 << 31 else seconds) + ((int(changed[2], 16) & 3) << 32)
    size = int(owner[3])
    target = None
    if kind is Kind.LINK and (fast := _FAST.search(answer)) and len(fast[1]) == size:
        target = os.fsdecode(fast[1])
    device = _DEVICE.search(answer)
    attributes = answer.partition(b"\nExtended attributes:\n")[2]
    return Inode(
        kind=kind,
        mode=int(mode[1], 8) & 0o7777,
        uid=int(owner[1]),
        gid=int(owner[2]),
        size=size,
        time=seconds,
        target=target,
        device=(int(device[1]), int(device[2])) if device else (0, 0),
        encrypted=bool(int(mode[2], 16) & _ENCRYPTED),
        inline=bool(int(mode[2], 16) & _INLINE),
        attributes=tuple(
            (found[1].decode(), int(found[2]))
            for found in _ATTRIBUTE.finditer(attributes)
            if found[1] != b"system.data"  # The rest of an inline content.
        ),
    )


_TYPES: Final = {
    b"directory": Kind.FOLDER,
    b"regular": Kind.FILE,
    b"symlink": Kind.LINK,
    b"character special": Kind.CHARACTERS,
    b"block special": Kind.BLOCKS,
    b"FIFO": Kind.PIPE,
}


def _kind(answer: bytes) -> Kind | None:
    match = re.search(rb"^Inode: \d+ +Type: (.*?) +Mode:", answer, re.MULTILINE)
    return _TYPES.get(match[1]) if match else None


def _last(done: Completed) -> str:
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is told"


def _damaged(region: Region, reason: str) -> ImageError:
    return ImageError(f"the file system is damaged: {reason}", where=str(region.path))
