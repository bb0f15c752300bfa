"""`ovenbird inspect`: what is in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovenbird.cli.tables import facts, heading, table
from ovenbird.units import size_text

if TYPE_CHECKING:
    from ovenbird.image.reading.contents import BootInfo, Contents, RootInfo, SelectorInfo
    from ovenbird.image.reading.initrd import InitrdInfo

LARGEST = 12


def inspect(
    image: Annotated[
        Path, typer.Argument(help="A disk.img, root.squashfs, boot.vfat, initrd or kernel, or a folder with them.")
    ],
    packages: Annotated[bool, typer.Option("--packages", help="List every package, not only the largest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what is in an image: partitions, slots, kernel, packages, sizes."""
    import msgspec

    from ovenbird.image.reading.contents import inspect as look

    contents = look(image)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(contents), indent=2).decode())
        return
    _show(contents, every_package=packages)


def _show(contents: Contents, *, every_package: bool) -> None:
    used = f", {size_text(contents.used)} of them used here" if contents.used < contents.size else ""
    facts(
        [
            ("image", contents.path),
            ("kind", contents.kind),
            ("size", f"{size_text(contents.size)}{used}"),
            ("kernel", contents.kernel),
            ("problem", f"primary partition table: {contents.problem}" if contents.problem else ""),
        ]
    )
    if contents.partitions:
        heading("Partitions")
        rows = [(str(one.number), one.name, size_text(one.size), one.content) for one in contents.partitions]
        table([">", "name", ">size", "content"], rows)
    if contents.selector:
        heading("Selector")
        _show_selector(contents.selector)
    shown = ""
    for slot in contents.slots:
        heading(f"Slot {slot.slot}: {slot.state}")
        if slot.intact is not None:
            facts([("root", "has the hash that it should have" if slot.intact else "DAMAGED: its hash is another one")])
        if slot.boot:
            _show_boot(slot.boot)
        if slot.root:
            _show_root(slot.root, every_package=every_package, short=slot.root.sha256 == shown)
            shown = slot.root.sha256
    if contents.root:
        _show_root(contents.root, every_package=every_package)
    if contents.boot:
        _show_boot(contents.boot)
    if contents.initrd:
        _show_initrd(contents.initrd)


def _show_selector(selector: SelectorInfo) -> None:
    trial = f"slot {selector.trial}, {selector.tries} left" if selector.trial else "none"
    facts(
        [
            ("active", f"slot {selector.active}"),
            ("trial", trial),
            ("attempts", str(selector.attempts)),
            ("failed", ", ".join(f"slot {slot}" for slot in selector.failed)),
            ("damaged", ", ".join(selector.damaged)),
        ]
    )


def _show_boot(boot: BootInfo) -> None:
    files = ", ".join(f"{one.name} {size_text(one.size)}" for one in boot.files)
    facts([("kernel", boot.kernel), ("command line", boot.cmdline), ("files", files)])


def _show_root(root: RootInfo, *, every_package: bool, short: bool = False) -> None:
    image = root.image
    facts(
        [
            ("name", f"{image.name} {image.version}" if image else ""),
            ("board", f"{image.board} ({image.architecture})" if image else ""),
            ("system", root.system),
            ("root", f"{size_text(root.size)} ({root.compression}), {size_text(root.unpacked)} unpacked"),
            ("content", f"{root.files} files, {len(root.packages)} packages"),
            ("sha256", root.sha256),
        ]
    )
    if short:
        print("the same root as in the other slot")
        return
    listed = sorted(root.packages, key=lambda one: (one.name if every_package else "", -one.size))
    if listed:
        heading("Packages" if every_package else "Largest packages")
        some = listed if every_package else listed[:LARGEST]
        table(["name", "version", ">unpacked"], [(one.name, one.version, size_text(one.size)) for one in some])
    if root.folders:
        heading("Largest folders")
        table(["folder", ">unpacked"], [(one.name, size_text(one.size)) for one in root.folders])


def _show_initrd(initrd: InitrdInfo) -> None:
    facts(
        [
            ("kernel", initrd.kernel),
            ("packed", initrd.compression),
            ("content", f"{initrd.entries} entries, {size_text(initrd.unpacked)} unpacked"),
            ("modules", ", ".join(initrd.modules)),
        ]
    )
