"""A running machine, read over SSH by its own `find` and `tar`: nothing is installed there and nothing is changed.

First everything is listed, then exactly what is wanted is asked for by name, so that nothing else is sent, and in an
order that is the same each time. The machine goes on working meanwhile: what is gone by the time it is read is left
out, what changes while it is read is named.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from ovenbird.capture.tree import Entry, Kind, Listed, Member
from ovenbird.errors import HostError, ImageError, NetworkError, OvenbirdError, UsageError
from ovenbird.run import run, spawn

DISKS: Final = frozenset(
    (
        "bcachefs",
        "btrfs",
        "erofs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "jfs",
        "overlay",
        "reiserfs",
        "squashfs",
        "xfs",
        "zfs",
    )
)
"""The kinds of file systems whose files are the machine's own; others are its kernel's, or come from elsewhere."""
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f:.]+(?:%\w+)?)")
_KINDS: Final = {
    "f": Kind.FILE,
    "d": Kind.FOLDER,
    "l": Kind.LINK,
    "c": Kind.CHARACTERS,
    "b": Kind.BLOCKS,
    "p": Kind.PIPE,
}
_OF_TAR: Final = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.GNUTYPE_SPARSE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.CHRTYPE: Kind.CHARACTERS,
    tarfile.BLKTYPE: Kind.BLOCKS,
    tarfile.FIFOTYPE: Kind.PIPE,
}
_XATTR: Final = "SCHILY.xattr."
# What tar says of files that went or changed while it read; with a summary at the end (GNU tar 1.35, "Messages").
_HARMLESS: Final = re.compile(
    r"tar: (.*: (Cannot stat: No such file or directory|file changed as we read it|File removed before we read it"
    r"|File shrank by \d+ bytes; padding with zeros|socket ignored)|Exiting with failure status due to previous errors)"
)
_FACTS: Final = """
export LC_ALL=C
printf 'user %s\\n' "$(id -u)"
find --version 2>/dev/null | sed -n '1s/^/find /p'
tar --version 2>/dev/null | sed -n '1s/^/tar /p'
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo 'root yes'; fi
sed 's/^/mount /' /proc/self/mountinfo
exit 0
"""


@dataclass(frozen=True, slots=True)
class Address:
    """How a machine is reached: what ssh(1) takes, and further words for it."""

    name: str
    words: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, text: str, *, port: int | None = None, key: str | None = None, options: Sequence[str] = ()
    ) -> Address:
        """Read USER@HOST. Raises UsageError."""
        if not _NAME.fullmatch(text):
            raise UsageError(
                f'"{text[:80]}" is neither a file nor a machine',
                hint="write USER@HOST for a machine, or the path of a disk image",
            )
        words = [*(("-p", str(port)) if port else ()), *(("-i", key) if key else ())]
        for option in options:
            words += ["-o", option]
        return cls(text, tuple(words))

    def command(self, script: str) -> list[str]:
        """The words that run a shell script there."""
        fixed = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR"]
        return ["ssh", *self.words, *fixed, "--", self.name, f"sh -c {shlex.quote(script)}"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine says of itself."""

    mounts: tuple[str, ...]
    """Where its own file systems are mounted, the root first."""
    privileged: str
    """What comes before a command that has to be root's."""


@dataclass(slots=True)
class Remote:
    """A machine that was reached."""

    address: Address
    facts: Facts
    notes: list[str] = field(default_factory=list[str])

    @classmethod
    def reach(cls, address: Address) -> Remote:
        """Look at a machine. Raises NetworkError where it cannot be reached, HostError where it lacks something."""
        done = run(address.command(_FACTS), check=False)
        if done.returncode != 0:
            raise _unreachable(address, done.returncode, done.stderr)
        return cls(address, _facts(address, done.stdout))

    def paths(self) -> list[Listed]:
        """Everything on the machine's own file systems."""
        places = " ".join(shlex.quote(place) for place in self.facts.mounts)
        script = f"LC_ALL=C find {places} -xdev -printf '%y %s %T@ %p\\0'; true"
        with tempfile.TemporaryFile() as out:
            done = run(self.address.command(self._privileged(script)), stdout=out, check=False)
            if done.returncode != 0:
                raise _unreachable(self.address, done.returncode, done.stderr)
            out.seek(0)
            said = out.read()
        found: dict[str, Listed] = {}
        for record in said.split(b"\0")[:-1]:
            kind, size, time, path = os.fsdecode(record).split(" ", 3)
            if kind in _KINDS and path != "/":
                found[path] = Listed(path, _KINDS[kind], int(size), int(float(time)))
        if len(found) < 10:
            raise ImageError(
                "its files cannot be listed", where=self.address.name, hint=done.stderr.strip() or "look at it by ssh"
            )
        return list(found.values())

    def read(self, chosen: Sequence[str]) -> Iterator[Member]:
        """These paths, as its tar sends them."""
        names = b"".join(b"." + os.fsencode(path) + b"\0" for path in chosen)
        words = (
            "--null --no-recursion --verbatim-files-from --numeric-owner --xattrs --format=pax --no-acls --no-selinux"
        )
        script = f"LC_ALL=C tar -C / {words} --xattrs-include='*' --pax-option=delete=atime,delete=ctime -cf - -T -"
        command = self.address.command(self._privileged(script))
        with (
            tempfile.TemporaryFile() as errors,
            spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, dies_with_us=True) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            feeder = threading.Thread(target=_feed, args=(process.stdin, names), daemon=True)
            feeder.start()
            whole = False
            sent: set[str] = set()
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for info in archive:
                        if entry := _entry(info):
                            sent.add(entry.path)
                            content = archive.extractfile(info) if entry.size else None
                            yield entry, content or io.BytesIO()
                whole = True
            except tarfile.TarError:
                pass  # It was cut off; the program says why.
            code = process.wait()
            errors.seek(0)
            self._end(code, errors.read().decode("utf-8", "replace"), whole=whole)
        gone = len(chosen) - len(sent)
        if gone:
            self.notes.append(f"{gone} files were gone before they could be read")

    def _end(self, code: int, said: str, *, whole: bool) -> None:
        lines = [line for line in said.splitlines() if line.strip()]
        strange = [line for line in lines if not _HARMLESS.fullmatch(line)]
        if code == 255 or (not whole and not strange):
            raise _unreachable(self.address, code, said)
        if strange and (code > 1 or not whole):
            raise ImageError(f"its files cannot be read: {strange[0].removeprefix('tar: ')}", where=self.address.name)
        changed = [line for line in lines if "file changed as we read it" in line or "File shrank" in line]
        self.notes += [f"{line.split(': ')[1].removeprefix('.')} changed while it was read" for line in changed[:10]]

    def _privileged(self, script: str) -> str:
        return f"{self.facts.privileged}sh -c {shlex.quote(script)}" if self.facts.privileged else script


def _feed(stream: IO[bytes], names: bytes) -> None:
    try:
        stream.write(names)
        stream.close()
    except OSError:
        pass  # Whoever reads has ended, and says why.


def _entry(info: tarfile.TarInfo) -> Entry | None:
    kind = Kind.FILE if info.islnk() else _OF_TAR.get(info.type)
    path = info.name.removeprefix(".")
    if kind is None or not path.startswith("/"):
        return None
    attributes = {
        name.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
        for name, value in info.pax_headers.items()
        if name.startswith(_XATTR)
    }
    return Entry(
        path.rstrip("/"),
        kind,
        info.mode & 0o7777,
        info.uid,
        info.gid,
        size=info.size if kind is Kind.FILE and not info.islnk() else 0,
        time=int(info.mtime),
        target=info.linkname if kind is Kind.LINK else "",
        device=(info.devmajor, info.devminor) if kind in (Kind.CHARACTERS, Kind.BLOCKS) else (0, 0),
        hard_link=info.linkname.removeprefix(".") if info.islnk() else "",
        attributes=attributes,
    )


def _facts(address: Address, said: str) -> Facts:
    lines = [line.partition(" ") for line in said.splitlines()]
    values = {word: rest for word, _, rest in lines}
    for program, package in (("find", "findutils"), ("tar", "tar")):
        if "GNU" not in values.get(program, ""):
            raise HostError(
                f"the machine's {program} is not GNU {program}, which is needed to read it whole",
                where=address.name,
                hint=f"install {package} there, or capture an image of its disk",
            )
    if "root" not in values:
        raise HostError(
            "may not read everything there: this user is not root, and sudo asks for a password",
            where=address.name,
            hint="name root (root@HOST), or let the user run sudo without a password for the time of the capture",
        )
    return Facts(
        _mounts([rest for word, _, rest in lines if word == "mount"]),
        "" if values.get("user") == "0" else "sudo -n ",
    )


def _mounts(lines: Sequence[str]) -> tuple[str, ...]:
    """Where file systems of disks are mounted: /proc/PID/mountinfo, proc_pid_mountinfo(5)."""
    found = ["/"]
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) > 4 and kinds[0] in DISKS:
            found.append(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
    return tuple(dict.fromkeys(place for place in found if place == "/" or not _foreign(place)))


def _foreign(place: str) -> bool:
    return place == "/data" or place.startswith(("/data/", "/media/", "/mnt/", "/run/", "/proc/", "/sys/", "/dev/"))


def _unreachable(address: Address, code: int, said: str) -> OvenbirdError:
    """The error for an ssh that failed, by what OpenSSH's client says."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else f"ssh ended with {code}"
    hints = {
        "Permission denied": f"give it your key: ssh-copy-id {address.name}, or name one with --key",
        "Host key verification failed": f"its host key is not known here: log in once by hand (ssh {address.name})",
        "REMOTE HOST IDENTIFICATION HAS CHANGED": f"if it is the right machine: ssh-keygen -R {address.name}",
        "Could not resolve": "look at how the name is spelt, or write the address",
        "Connection refused": "is an SSH server running there? --port names another port",
        "timed out": "is it switched on, and in reach of this machine?",
        "No route": "is it switched on, and in reach of this machine?",
        "closed": "the connection broke off; is the machine still running?",
    }
    hint = next((hint for text, hint in hints.items() if text in said), f"try by hand: ssh {address.name}")
    return NetworkError(f"cannot be reached by SSH: {last}", where=address.name, hint=hint)
