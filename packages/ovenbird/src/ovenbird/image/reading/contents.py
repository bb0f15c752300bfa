"""What is in an image: partitions, slots, kernel, packages, sizes. Values only; showing them is the command line's."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from ovenbird.image.packages import Installed
from ovenbird.image.reading import fat, initrd, packages, squashfs
from ovenbird.image.reading.disk import Opened, open_image, selector_state
from ovenbird.image.reading.initrd import InitrdInfo
from ovenbird.image.reading.region import Content, Region, printable, recognise
from ovenbird_device.format import FormatError, cmdline, manifest
from ovenbird_device.format.selector import Slot, State

IMAGE = f"/{manifest.IMAGE_PATH}"
RELEASE = "/usr/lib/os-release"
LARGEST = 12
_DEPTH = 3


class Size(msgspec.Struct, frozen=True):
    """A folder or file and its bytes."""

    name: str
    size: int


class RootInfo(msgspec.Struct, frozen=True):
    """A root image. `size` as it is on the disk, `unpacked` the sum of its files, both in bytes; `made` in seconds
    since 1970; `image` what the device is told of it (None in a foreign one).
    """

    size: int
    unpacked: int
    files: int
    compression: str
    made: int
    sha256: str
    system: str
    image: manifest.Image | None
    packages: tuple[Installed, ...]
    folders: tuple[Size, ...]


class BootInfo(msgspec.Struct, frozen=True):
    """A boot partition; `kernel` is the kernel's version."""

    kernel: str
    cmdline: str
    files: tuple[Size, ...]


class PartitionInfo(msgspec.Struct, frozen=True):
    """One partition; `offset` and `size` in bytes."""

    number: int
    name: str
    offset: int
    size: int
    content: str
    uuid: str


class SlotInfo(msgspec.Struct, frozen=True):
    """One slot. `intact` says whether the root has the hash that the boot partition names; None if it names none."""

    slot: str
    state: str
    intact: bool | None
    boot: BootInfo | None
    root: RootInfo | None


class SelectorInfo(msgspec.Struct, frozen=True):
    """The boot state; `damaged` are the copies that cannot be read or differ from the first good one."""

    active: str
    trial: str | None
    tries: int
    attempts: int
    failed: tuple[str, ...]
    damaged: tuple[str, ...]


class Contents(msgspec.Struct, frozen=True):
    """Everything about one image; what it does not have is empty. `used` are the bytes that it takes on this disk."""

    path: str
    kind: str
    size: int
    used: int
    problem: str = ""
    partitions: tuple[PartitionInfo, ...] = ()
    selector: SelectorInfo | None = None
    slots: tuple[SlotInfo, ...] = ()
    root: RootInfo | None = None
    boot: BootInfo | None = None
    initrd: InitrdInfo | None = None
    kernel: str = ""


def inspect(path: Path) -> Contents:
    """Look into an image. UsageError for a path without one, ImageError for a foreign or damaged one."""
    opened = open_image(path)
    region = opened.region
    whole = Contents(
        printable(str(region.path)), opened.content, region.size, region.path.stat().st_blocks * 512, opened.problem
    )
    match opened.content:
        case Content.SQUASHFS:
            return msgspec.structs.replace(whole, root=root_info(region))
        case Content.FAT:
            return msgspec.structs.replace(whole, boot=boot_info(region))
        case Content.INITRD:
            return msgspec.structs.replace(whole, initrd=initrd.look(region))
        case Content.KERNEL:
            return msgspec.structs.replace(whole, kernel=kernel_version(region.read(0, region.size)))
        case _:
            return _disk(opened, whole)


def _disk(opened: Opened, whole: Contents) -> Contents:
    state, damaged = selector_state(opened)
    partitions = tuple(
        PartitionInfo(
            one.number,
            printable(one.name),
            one.offset,
            one.size,
            recognise(Region(opened.region.path, one.offset, one.size)),
            one.identity,
        )
        for one in opened.partitions
    )
    told = SelectorInfo(
        state.active,
        state.trial,
        state.tries,
        state.attempts,
        tuple(sorted(state.failed)),
        damaged,
    ) if state else None  # fmt: skip
    slots = tuple(_slot(opened, slot, state) for slot in Slot if opened.partition(f"root-{slot}"))
    return msgspec.structs.replace(whole, partitions=partitions, selector=told, slots=slots)


def _slot(opened: Opened, slot: Slot, state: State | None) -> SlotInfo:
    boot_part, root_part = (opened.partition(f"{kind}-{slot}") for kind in ("boot", "root"))
    boot = boot_info(boot_part) if boot_part and recognise(boot_part) is Content.FAT else None
    root = root_info(root_part) if root_part and recognise(root_part) is Content.SQUASHFS else None
    named = cmdline.parse(boot.cmdline).hash if boot else None
    intact = named == f"sha256:{root.sha256}" if named and root else None
    return SlotInfo(slot, _state(slot, state, empty=root is None), intact, boot, root)


def _state(slot: Slot, state: State | None, *, empty: bool) -> str:
    if empty:
        return "empty"
    if state is None:
        return "unknown"
    if slot is state.active:
        return "active"
    if slot is state.trial:
        return f"on trial, {state.tries} {'try' if state.tries == 1 else 'tries'} left"
    return "failed" if slot in state.failed else "kept"


def root_info(region: Region) -> RootInfo:
    """Look into a root image. ImageError if it is damaged."""
    block = squashfs.superblock(region)
    tree = squashfs.walk(region, keep=lambda path: path in (IMAGE, RELEASE) or packages.needed(path))
    folders: Counter[str] = Counter()
    unpacked = files = 0
    for path, entry in tree.entries.items():
        if entry.kind is squashfs.Kind.FILE and not entry.same_as:
            files += 1
            unpacked += entry.size
            parts = path.split("/")[1:-1]
            for depth in range(1, min(len(parts), _DEPTH) + 1):
                folders["/" + "/".join(parts[:depth])] += entry.size
    return RootInfo(
        size=block.size,
        unpacked=unpacked,
        files=files,
        compression=block.compression,
        made=block.made,
        sha256=region.part(0, block.size).sha256(),
        system=_system(tree.contents.get(RELEASE, b"")),
        image=_image(tree.contents.get(IMAGE)),
        packages=packages.installed(tree),
        folders=tuple(Size(printable(name), size) for name, size in folders.most_common(LARGEST)),
    )


def _system(release: bytes) -> str:
    for line in release.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return ""


def _image(text: bytes | None) -> manifest.Image | None:
    try:
        return manifest.load_image(text) if text is not None else None
    except FormatError:
        return None


def boot_info(region: Region) -> BootInfo:
    """Look into a boot partition. ImageError if it is damaged."""
    files = fat.read_all(region)
    return BootInfo(
        kernel=kernel_version(files.get("vmlinuz", b"")),
        cmdline=files.get("cmdline.txt", b"").decode("ascii", "replace").strip(),
        files=tuple(Size(printable(name), len(content)) for name, content in sorted(files.items())),
    )


def kernel_version(kernel: bytes) -> str:
    """The version that a kernel image names; empty if it names none.

    x86: Linux, `Documentation/arch/x86/boot.rst`, field `kernel_version`. Elsewhere an unpacked image has its banner.
    """
    if kernel[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            kernel = gzip.decompress(kernel)
    if kernel[0x202:0x206] == b"HdrS":
        start = int.from_bytes(kernel[0x20E:0x210], "little") + 0x200
        text = kernel[start : start + 256].split(b"\0", 1)[0]
    else:
        _, _, text = kernel.partition(b"Linux version ")
    words = text[:256].decode("ascii", "replace").split(" ", 1)
    return printable(words[0])
