"""The initrd: static busybox, the modules that a board needs, and one `init`; written as an archive, without a target.

The distribution's own tools would have to run inside of the target, take minutes under emulation, and pack much that an
Ovenbird system never uses. Here the modules are chosen from the kernel's own indexes, unpacked (the archive as a whole
packs better, and the device's busybox need not know xz) and packed with zstd, which kernels unpack fastest.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import BuildError
from ovenbird.files import replacing
from ovenbird.run import run
from ovenbird_device.format import cpio

INIT = Path(__file__).with_name("init")
AGENTLESS = Path(__file__).with_name("agentless")
"""What stays behind in memory, where the system has no agent."""
NETWORK = Path(__file__).with_name("init.network")
"""What `init` reads where the root comes from the network."""
DHCP = Path(__file__).with_name("init.dhcp")
"""What udhcpc calls with its answer."""
LEVEL = 19  # of zstd: the smallest without asking for more memory at boot; takes about a second
FOLDERS = (
    "bin",
    "dev",
    "etc",
    "held",
    "held/var",
    "held/var/lib",
    "held/var/lib/dpkg",
    "lib",
    "lib/modules",
    "proc",
    "run",
    "sbin",
    "sys",
    "sysroot",
)
# What `init` calls by name. A debug shell has all of busybox.
APPLETS = (
    "cat", "chmod", "chown", "chroot", "cmp", "cp", "cut", "dd", "du", "find", "grep", "hexdump", "ip", "ipcalc",
    "kill", "ln", "mkdir", "mkfifo", "mkswap", "modprobe", "mount", "mv", "od", "reboot", "rm", "sed", "setsid", "sh",
    "sha256sum", "sleep", "sort", "ssl_client", "stat", "swapon", "switch_root", "sync", "tail", "tar", "tftp", "tr",
    "udhcpc", "umount", "usleep", "watchdog", "wget", "xzcat", "zcat",
)  # fmt: skip
ON_DEMAND = frozenset({"loop", "zram", "8021q"})
"""Modules of no device that `init` loads when it comes to them."""


@dataclass(frozen=True, slots=True)
class ModuleIndex:
    """What a kernel's folder of modules says of itself. Names are written with underscores."""

    files: dict[str, str]
    """Name of a module -> its file, relative to the folder."""
    needs: dict[str, tuple[str, ...]]
    """Name -> the files that must be loaded before it, nearest first, as modules.dep has them."""
    builtin: frozenset[str]
    soft: dict[str, tuple[str, ...]]
    """Name -> modules that it works better or only with, without linking to them."""
    aliases: tuple[tuple[str, str], ...]
    """Pattern and name of the module that answers to it."""

    @classmethod
    def read(cls, modules: Path) -> ModuleIndex:
        """Read a folder (/usr/lib/modules/VERSION) that depmod has been over. Raises BuildError."""
        dependencies = modules / "modules.dep"
        if not dependencies.is_file():
            raise BuildError("has no modules.dep: depmod has not been over it", where=str(modules))
        files: dict[str, str] = {}
        needs: dict[str, tuple[str, ...]] = {}
        for line in dependencies.read_text().splitlines():
            file, colon, rest = line.partition(":")
            if colon:
                files[module_name(file)] = file
                needs[module_name(file)] = tuple(rest.split())
        soft: dict[str, tuple[str, ...]] = {}
        for words in _lines(modules / "modules.softdep"):
            if len(words) > 2 and words[0] == "softdep":
                name = canonical(words[1])
                soft[name] = (*soft.get(name, ()), *(canonical(word) for word in words[2:] if not word.endswith(":")))
        aliases = tuple(
            (words[1], canonical(words[2]))
            for words in _lines(modules / "modules.alias")
            if len(words) == 3 and words[0] == "alias"
        )
        builtin = frozenset(module_name(words[0]) for words in _lines(modules / "modules.builtin") if words)
        return cls(files, needs, builtin, soft, aliases)

    def resolve(self, name: str) -> tuple[str, ...]:
        """The modules that a name or alias stands for; none if it is built in or unknown to this kernel."""
        name = canonical(name)
        if name in self.files:
            return (name,)
        if name in self.builtin:
            return ()
        return tuple(dict.fromkeys(module for pattern, module in self.aliases if canonical(pattern) == name))

    def device_aliases(self, chosen: Iterable[str]) -> list[tuple[str, str]]:
        """The patterns of devices that the chosen modules drive, each with its module.

        `devname:` is no such pattern: it names a node in /dev that loads its module when it is opened (loop-control).
        """
        names = set(chosen)
        return [
            (pattern, name)
            for pattern, name in self.aliases
            if name in names and ":" in pattern and not pattern.startswith("devname:")
        ]

    def closure(self, wanted: Iterable[str]) -> list[str]:
        """All modules that are needed to load the wanted ones, those included, each after what it needs."""
        ordered: dict[str, None] = {}
        visiting: set[str] = set()

        def visit(name: str) -> None:
            if name in ordered or name in visiting or name not in self.files:
                return
            visiting.add(name)
            # modules.dep names the nearest dependency first; loading goes the other way round.
            for file in reversed(self.needs[name]):
                visit(module_name(file))
            for word in self.soft.get(name, ()):
                for soft in self.resolve(word):
                    visit(soft)
            ordered[name] = None

        for word in wanted:
            for name in self.resolve(word):
                visit(name)
        return list(ordered)


def canonical(name: str) -> str:
    """A module's name as the kernel has it: dashes and underscores mean the same."""
    return name.replace("-", "_")


def module_name(file: str) -> str:
    """The name of the module in a file such as `kernel/fs/overlayfs/overlay.ko.xz`."""
    return canonical(file.rsplit("/", 1)[-1].partition(".ko")[0])


def _lines(file: Path) -> list[list[str]]:
    if not file.exists():
        return []
    return [line.split() for line in file.read_text().splitlines() if line and not line.startswith("#")]


def read_module(file: Path) -> bytes:
    """A module's content, unpacked whatever it was packed with. Raises BuildError."""
    try:
        match file.suffix:
            case ".ko":
                return file.read_bytes()
            case ".xz":
                return lzma.decompress(file.read_bytes())
            case ".gz":
                return gzip.decompress(file.read_bytes())
            case ".zst":
                with tempfile.TemporaryFile() as unpacked:
                    run(["zstd", "-dcq", file], stdout=unpacked, what=f"unpacking {file.name}")
                    unpacked.seek(0)
                    return unpacked.read()
            case _:
                raise BuildError("is packed in a way that Ovenbird does not know", where=str(file))
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise BuildError(f"the kernel module cannot be read: {error}", where=str(file)) from error


def write_initrd(
    out: Path,
    *,
    kernel_version: str,
    modules: Path,
    busybox: Path,
    wanted: Sequence[str],
    epoch: int,
) -> None:
    """Write the initrd to `out`; the same inputs give the same bytes.

    `modules` is the content of /usr/lib/modules/`kernel_version`, `busybox` a static one for the target, `wanted` the
    names of kernel modules (built in or unknown ones are left out), `epoch` the time of all files in seconds.
    Raises BuildError.
    """
    index = ModuleIndex.read(modules)
    chosen = index.closure(wanted)
    archive = io.BytesIO()
    with cpio.Writer(archive, mtime=epoch) as writer:
        _write_system(writer, busybox)
        _write_modules(writer, kernel_version, modules, index, chosen)
    with replacing(out) as beside, beside.open("wb") as packed:
        # From a pipe and in one thread: the result depends on the bytes alone.
        run(["zstd", f"-{LEVEL}", "--single-thread", "-qc"], stdin=archive.getvalue(), stdout=packed, what="the initrd")


def _write_system(writer: cpio.Writer, busybox: Path) -> None:
    """Everything but the modules. The kernel wants a console to write to before init has mounted /dev."""
    for folder in FOLDERS:
        writer.directory(folder)
    writer.node("dev/console", stat.S_IFCHR | 0o600, (5, 1))
    writer.node("dev/null", stat.S_IFCHR | 0o666, (1, 3))
    writer.file("bin/busybox", busybox.read_bytes(), 0o755)
    for applet in APPLETS:
        writer.link(f"bin/{applet}", "busybox")
    writer.link("sbin/modprobe", "../bin/busybox")  # where the kernel looks when it wants a module by itself
    writer.file("agentless", AGENTLESS.read_bytes(), 0o755)
    writer.file("init", INIT.read_bytes(), 0o755)
    writer.file("lib/network", NETWORK.read_bytes())
    writer.file("lib/dhcp", DHCP.read_bytes(), 0o755)


def _write_modules(
    writer: cpio.Writer, kernel_version: str, modules: Path, index: ModuleIndex, chosen: Sequence[str]
) -> None:
    """The modules, all in one folder, with indexes of their own.

    What drives no device is in the list `always`; all names are in `devices`, for when the ones that match the devices
    at hand do not bring up the root.
    """
    folder = f"lib/modules/{kernel_version}"
    writer.directory(folder)
    lines: list[str] = []
    for name in sorted(chosen):
        writer.file(f"{folder}/{name}.ko", read_module(modules / index.files[name]))
        needs = " ".join(f"{module_name(file)}.ko" for file in index.needs[name])
        lines.append(f"{name}.ko:{' ' if needs else ''}{needs}\n")
    writer.file(f"{folder}/modules.dep", "".join(lines).encode())
    aliases = index.device_aliases(chosen)
    text = "".join(f"alias {pattern} {name}\n" for pattern, name in aliases)
    writer.file(f"{folder}/modules.alias", text.encode())
    drivers = {name for _, name in aliases}
    needed = {module_name(file) for name in chosen for file in index.needs[name]}
    always = [name for name in chosen if name not in drivers | needed | ON_DEMAND]
    writer.file("lib/modules/always", f"{' '.join(always)}\n".encode())
    writer.file("lib/modules/devices", f"{' '.join(chosen)}\n".encode())
