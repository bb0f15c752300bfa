"""Images of roots that are not Debian's, in versions: recipes written around the tarballs of `tests/foreign`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovenbird.files import sha256_of
from tests.foreign import arch, musl
from tests.tool import OUTPUT, Tool, one_at_a_time

PASSWORD = "tobak-mirun-depol"
FOLDER = OUTPUT / "foreign"
MUSL = """\
include = ["../../../tests/vm/recipes/emulated.toml"]
[image]
name = "musl"
version = "{version}"
board = "vm"
[base]
distribution = "tar"
tarball = "{tarball}"
sha256 = "{sha256}"
[disk]
root = "64M"
data = "24M"
rescue = "160M"
[update]
keys = ["../keys/updates.pem"]
deadline = "120s"
[[health]]
name = "version"
command = "grep -q version= /etc/version"
"""
ARCH = """\
include = ["../../../tests/vm/recipes/emulated.toml"]
[image]
name = "archlike"
version = "{version}"
board = "vm"
[base]
distribution = "arch"
tarball = "{tarball}"
sha256 = "{sha256}"
server = "{server}"
repositories = ["core"]
keys = ["{keys}"]
[build]
stages = ["./stages/mark"]
[disk]
root = "160M"
data = "96M"
[update]
keys = ["../keys/updates.pem"]
deadline = "200s"
"""


@dataclass(frozen=True)
class Versions:
    """The builds of one system's versions."""

    name: str

    def folder(self, version: str) -> Path:
        """A version's recipe."""
        return FOLDER / f"{self.name}-{version}"

    def out(self, version: str) -> Path:
        """Its outputs."""
        return self.folder(version) / "out"

    def bundle(self, version: str) -> Path:
        """Its bundle."""
        return self.out(version) / f"{self.name}.swu"


def _keys(tool: Tool) -> Mapping[str, str]:
    environment = {"OVENBIRD_KEYS": str(FOLDER / "private"), "XDG_CONFIG_HOME": str(FOLDER / "config")}
    if not (FOLDER / "private/updates.key").is_file():
        done = tool.run("keys", "new", "--to", FOLDER / "keys", env=environment)
        assert done.code == 0, done.err
    return environment


def _maker(*files: str) -> str:
    return " ".join(sha256_of(Path(str(module))) for module in files)


def arch_files() -> arch.Arch:
    """Tarball and repository, made again when what makes them has changed."""
    made = arch.Arch(FOLDER / "arch")
    stamp, maker = FOLDER / "arch.made", _maker(arch.__file__)
    with one_at_a_time(FOLDER / "lock"):
        if not stamp.is_file() or stamp.read_text() != maker:
            shutil.rmtree(made.folder, ignore_errors=True)
            arch.make(made)
            stamp.write_text(maker)
    return made


def musl_tarball(version: str) -> Path:
    """The tarball of one version."""
    out = FOLDER / f"musl-{version}.tar.gz"
    stamp, maker = FOLDER / f"musl-{version}.made", _maker(musl.__file__)
    with one_at_a_time(FOLDER / "lock"):
        if not stamp.is_file() or stamp.read_text() != maker:
            work = FOLDER / "musl-work"
            shutil.rmtree(work, ignore_errors=True)
            musl.pack(musl.tree(work, version), out)
            stamp.write_text(maker)
    return out


def build_musl(tool: Tool, *versions: str) -> Versions:
    """A musl system with rescue."""
    built = Versions("musl")
    for version in versions:
        tarball = musl_tarball(version)
        text = MUSL.format(version=version, tarball=tarball, sha256=sha256_of(tarball))
        _build(tool, built.folder(version), text)
    return built


def build_arch(tool: Tool, *versions: str) -> Versions:
    """A system in the manner of Arch Linux; the stage makes versions differ."""
    built, made = Versions("archlike"), arch_files()
    for version in versions:
        folder = built.folder(version)
        stage = folder / "stages/mark"
        stage.mkdir(parents=True, exist_ok=True)
        told = f"RUN pacman -Q systemd python >/usr/share/mark; echo {version} >>/usr/share/mark\n"
        (stage / "Containerfile.part").write_text(told)
        text = ARCH.format(
            version=version, tarball=made.tarball, sha256=sha256_of(made.tarball), server=made.server, keys=made.keys
        )
        _build(tool, folder, text)
    return built


def _build(tool: Tool, folder: Path, text: str) -> None:
    with one_at_a_time(FOLDER / "lock"):
        environment = _keys(tool)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ovenbird.toml").write_text(text)
    tool.build(folder, "--bundle", env=environment)


__all__ = ["PASSWORD", "Versions", "arch_files", "build_arch", "build_musl", "musl_tarball"]
