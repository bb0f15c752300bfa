"""Bases that are not Debian's, by the installed program: what is wrong with a tarball, and how pacman and apt fail.

Nothing here comes to an image: each build ends with one clear error. `tests/vm/test_foreign.py` boots what is right.
"""

from __future__ import annotations

import io
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird.base.arch import PACKAGES
from ovenbird.files import sha256_of
from tests.build.test_errors import one_error
from tests.foreign import musl, tiny
from tests.foreign.arch import Arch, Members, make_key, publish, write_package
from tests.tool import Tool

pytestmark = pytest.mark.build
RECIPE = """\
[image]
name = "foreign"
version = "1"
board = "vm"
[base]
tarball = "{tarball}"
sha256 = "{sha256}"
"""


@dataclass(frozen=True)
class Kit:
    """A folder with a recipe, and the program."""

    tool: Tool
    folder: Path

    def fails(self, tarball: Path, *lines: str, code: int = 2, sha256: str = "") -> str:
        """Build from a tarball, which must end in one error; returns its text."""
        text = RECIPE.format(tarball=tarball, sha256=sha256 or sha256_of(tarball)) + "\n".join(lines) + "\n"
        (self.folder / "ovenbird.toml").write_text(text)
        return one_error(self.tool.run("build", self.folder), code)


@pytest.fixture
def kit(tool: Tool, tmp_path: Path) -> Kit:
    folder = tmp_path / "recipe"
    folder.mkdir()
    return Kit(tool, folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which pacman runs."""
    return tiny.tree(tmp_path_factory.mktemp("tiny") / "root")


TAR = 'distribution = "tar"'
OUTSIDE = [
    (("../out", tarfile.REGTYPE, ""), "leads out of the tree"),
    (("/out", tarfile.REGTYPE, ""), "absolute path"),
    (("srv/disk", tarfile.BLKTYPE, ""), "device node"),
    (("srv/shadow", tarfile.LNKTYPE, "../../etc/shadow"), "leads out of the tree"),
]


@pytest.mark.parametrize(("member", "said"), OUTSIDE)
def test_what_would_be_written_outside(
    kit: Kit, root: Path, tmp_path: Path, member: tuple[str, bytes, str], said: str
) -> None:
    info = tarfile.TarInfo(member[0])
    info.type, info.linkname = member[1], member[2]
    error = kit.fails(musl.pack(root, tmp_path / "bad.tar.gz", (info, b"")), TAR, 'init = "/bin/sh"')
    assert said in error
    assert str(tmp_path / "bad.tar.gz") in error


def test_a_file_through_a_link(kit: Kit, root: Path, tmp_path: Path) -> None:
    link = tarfile.TarInfo("srv")
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
    more = ((link, b""), (tarfile.TarInfo("srv/through"), b"x"))
    error = kit.fails(musl.pack(root, tmp_path / "bad.tar.gz", *more), TAR, 'init = "/bin/sh"')
    assert 'written through the link "srv"' in error


def test_no_root_no_init_wrong_hash_wrong_architecture(kit: Kit, root: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/main.c").write_text("int main;\n")
    assert "no root file tree" in kit.fails(musl.pack(tmp_path / "source", tmp_path / "source.tar.gz"), TAR)
    good = musl.pack(root, tmp_path / "good.tar.gz")
    assert "no init /sbin/init" in kit.fails(good, TAR)
    error = kit.fails(good, TAR, 'init = "/bin/sh"', sha256="1" * 64)
    assert f"has the sha256 {sha256_of(good)}, not {'1' * 64}" in error
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 183, 1) + bytes(40)
    with tarfile.open(tmp_path / "arm.tar.gz", "w:gz") as archive:
        for name in ("bin/sh", "sbin/init"):
            info = tarfile.TarInfo(name)
            info.size = len(head)
            archive.addfile(info, io.BytesIO(head))
    assert "for arm64" in kit.fails(tmp_path / "arm.tar.gz", TAR)
    assert "no whole tar archive" in kit.fails(Path(__file__), TAR)


def test_what_needs_the_agent(kit: Kit, root: Path, tmp_path: Path) -> None:
    good = musl.pack(root, tmp_path / "good.tar.gz")
    (kit.folder / "program").write_text("#!/bin/sh\n")
    app = '[[app]]\nname = "one"\nbinary = "program"'
    error = kit.fails(good, TAR, 'init = "/bin/sh"', app)
    assert "the app one needs systemd and the agent, but the root has no systemd, no Python" in error
    check = '[[health]]\nname = "page"\nhttp = "http://localhost/"'
    assert 'the health check "page" needs the agent' in kit.fails(good, TAR, 'init = "/bin/sh"', check)


def test_a_kernel_that_is_not_there(kit: Kit, root: Path, tmp_path: Path) -> None:
    good = musl.pack(root, tmp_path / "good.tar.gz")
    error = kit.fails(good, TAR, 'init = "/bin/sh"', 'kernel = "tarball"', code=1)
    assert "the root should hold one kernel, but there is no folder of modules" in error


def test_apt_s_failure_for_the_boot_programs(kit: Kit, root: Path, tmp_path: Path) -> None:
    good = musl.pack(root, tmp_path / "good.tar.gz")
    error = kit.fails(good, TAR, 'init = "/bin/sh"', 'mirror = "http://127.0.0.1:9/debian"', code=4)
    assert "the package lists cannot be fetched" in error


def files(*names: str) -> Members:
    return [(tarfile.TarInfo(name), b"x\n") for name in names]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Arch:
    """Packages by the names that every system needs, and two that cannot be installed."""
    made = Arch(tmp_path_factory.mktemp("repository"))
    made.core.mkdir(parents=True)
    make_key(made)
    for name in PACKAGES:
        version = "3.13.1-1" if name == "python" else "1-1"
        write_package(made.core, name, version, files(f"usr/share/{name}"), [])
    write_package(made.core, "clash", "1-1", files("etc/passwd"), [])
    write_package(made.core, "lonely", "1-1", files("usr/share/lonely"), ["nowhere"])
    publish(made)
    return made


def arch_lines(repository: Arch, *packages: str) -> tuple[str, ...]:
    return (
        'distribution = "arch"', f'server = "{repository.server}"', 'repositories = ["core"]',
        f'keys = ["{repository.keys}"]', f"packages = {list(packages)}",
    )  # fmt: skip


def test_pacman_s_failures(kit: Kit, root: Path, repository: Arch, tmp_path: Path) -> None:
    good = musl.pack(root, tmp_path / "arch.tar.gz")
    assert "there is no package wim in core" in kit.fails(good, *arch_lines(repository, "wim"))
    error = kit.fails(good, *arch_lines(repository, "lonely"))
    assert "cannot be installed together" in error
    assert "nowhere" in error
    error = kit.fails(good, *arch_lines(repository, "clash"), code=1)
    assert "pacman failed" in error
    assert "clash: /etc/passwd exists in filesystem" in error
    assert 'name = "clash"' in (kit.folder / "ovenbird.lock").read_text()
    (kit.folder / "ovenbird.lock").write_text("hello")
    assert "no lock file of Ovenbird's" in kit.fails(good, *arch_lines(repository, "clash"))


def test_a_root_without_pacman(kit: Kit, repository: Arch, tmp_path: Path) -> None:
    (tmp_path / "plain/bin").mkdir(parents=True)
    (tmp_path / "plain/bin/sh").write_text("#!\n")
    error = kit.fails(musl.pack(tmp_path / "plain", tmp_path / "plain.tar.gz"), *arch_lines(repository))
    assert "the root has no pacman" in error


def test_a_server_that_does_not_answer(kit: Kit, root: Path, repository: Arch, tmp_path: Path) -> None:
    good = musl.pack(root, tmp_path / "arch.tar.gz")
    lines = [line.replace(f"file://{repository.folder}/repo", "http://127.0.0.1:9") for line in arch_lines(repository)]
    assert "the package lists cannot be fetched" in kit.fails(good, *lines, code=4)
