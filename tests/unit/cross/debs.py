"""Packages and trees for the tests: real .deb files by dpkg-deb, and trees as dpkg itself would leave them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovenbird.base.apt import Package
from ovenbird.build.debs import Unpacked, unpack
from ovenbird.files import sha256_of

HEADS = {
    "amd64": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0",
    "arm64": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\xb7\0",
}


def program(architecture: str, name: str = "") -> bytes:
    """What passes for a program of an architecture."""
    return HEADS[architecture] + name.encode() + bytes(40)


@dataclass(frozen=True)
class Deb:
    """A package to be made. A file's content that is a text beginning with `->` is a link."""

    name: str
    files: Mapping[str, bytes | str]
    architecture: str = "arm64"
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    control: Mapping[str, str] = field(default_factory=dict[str, str])
    modes: Mapping[str, int] = field(default_factory=dict[str, int])

    def fields_text(self) -> str:
        """The control file."""
        own = {"Package": self.name, "Version": "1.0", "Architecture": self.architecture, "Maintainer": "Nest <n@n.n>"}
        return "".join(f"{name}: {value}\n" for name, value in {**own, **self.fields, "Description": "a probe"}.items())

    def lay_out(self, tree: Path) -> dict[str, str]:
        """Write the files below a tree; returns the md5s of its files by their paths."""
        sums: dict[str, str] = {}
        for path, content in self.files.items():
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                place.symlink_to(content.removeprefix("->"))
                continue
            place.write_bytes(content)
            place.chmod(self.modes.get(path, 0o644))
            sums[path] = hashlib.md5(content).hexdigest()
        return sums

    def make(self, folder: Path) -> Package:
        """Make the .deb in a folder."""
        tree = folder / f"tree-{self.name}-{self.architecture}"
        sums = self.lay_out(tree)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(self.fields_text())
        own = self.control.get("conffiles", "").split()
        (tree / "DEBIAN/md5sums").write_text(
            "".join(f"{md5}  {path}\n" for path, md5 in sums.items() if f"/{path}" not in own)
        )
        for name, text in self.control.items():
            (tree / "DEBIAN" / name).write_text(text)
            (tree / "DEBIAN" / name).chmod(0o644 if name in ("conffiles", "triggers") else 0o755)
        file = folder / f"{self.name}_1.0_{self.architecture}.deb"
        subprocess.run(["dpkg-deb", "-b", "--root-owner-group", tree, file], check=True, capture_output=True)
        shutil.rmtree(tree)
        return Package(self.name, "1.0", self.architecture, sha256_of(file), file.stat().st_size)


def unpacked(folder: Path, *debs: Deb) -> list[Unpacked]:
    """Packages taken apart by the code under test."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = [deb.make(folder) for deb in debs]
    unpack(packages, folder, folder / "out")
    return [Unpacked(folder / "out" / package.name) for package in packages]


def install(tree: Path, *debs: Deb) -> None:
    """Install packages into a tree with the real dpkg, without running anything of theirs."""
    database = tree / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (database / name).mkdir(parents=True, exist_ok=True)
    (database / "status").touch()
    (database / "info/format").write_text("1\n")  # Names with the architecture, as every system has them.
    for deb in debs:
        folder = tree.parent / f"debs-{tree.name}"
        folder.mkdir(exist_ok=True)
        package = deb.make(folder)
        subprocess.run(
            [
                "dpkg", f"--root={tree}", "--force-all", "--force-script-chrootless", "--no-triggers",
                "--log=/dev/null",
                "--install", folder / package.file_name,
            ],
            check=True, capture_output=True,
        )  # fmt: skip
