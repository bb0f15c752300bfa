"""The private pacman on real tools: a signed repository by repo-add and gpg, resolved by pacman, and pinned."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.foreign.arch import LOCAL, Arch, Members, make_key, publish, write_package

from ovenbird.base import arch, tar
from ovenbird.base.arch import Pacman
from ovenbird.errors import NetworkError, RecipeError

QUESTION = "0 x86_64 core : systemd"


def files(*names: str) -> Members:
    return [(tarfile.TarInfo(name), f"{name}\n".encode()) for name in names]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Arch:
    """A repository of three packages."""
    made = Arch(tmp_path_factory.mktemp("repository"))
    made.core.mkdir(parents=True)
    make_key(made)
    write_package(made.core, "systemd", "257-1", files("usr/lib/systemd/systemd"), ["kmod"])
    write_package(made.core, "kmod", "34-1", files("usr/bin/kmod"), [])
    write_package(made.core, "filesystem", "2-1", files("etc/os-release"), [])
    write_package(made.core, "broken", "1-1", files("usr/bin/broken"), ["not-there"])
    publish(made)
    return made


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    """A root with pacman and one package that is older than the repository's."""
    out = tmp_path / "root.tar.gz"
    local = "root.x86_64/var/lib/pacman/local"
    contents = {
        "root.x86_64/usr/bin/pacman": "x",
        f"{local}/ALPM_DB_VERSION": "9\n",
        f"{local}/filesystem-1-1/desc": LOCAL,
        f"{local}/filesystem-1-1/files": "%FILES%\n\n",
    }
    with tarfile.open(out, "w:gz") as archive:
        for name, text in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return out


@pytest.fixture
def pacman(repository: Arch, tarball: Path, tmp_path: Path) -> Pacman:
    root = tar.inspect(tarball)
    assert root.pacman
    return Pacman(tmp_path / "pacman", tarball, root.prefix, "x86_64", repository.server, ("core",), (repository.keys,))


def test_resolved_fetched_and_pinned(pacman: Pacman, repository: Arch, tmp_path: Path) -> None:
    packages = pacman.resolve(["systemd"])
    assert {(one.name, one.version) for one in packages} == {
        ("systemd", "257-1"), ("kmod", "34-1"), ("filesystem", "2-1")
    }  # fmt: skip
    found = pacman.fetch(packages, tmp_path / "cache")
    for package in packages:
        assert found[package.file].read_bytes() == (repository.core / package.file).read_bytes()
    arch.write_lock(tmp_path, QUESTION, packages)
    assert arch.read_lock(tmp_path, QUESTION) == packages
    assert arch.read_lock(tmp_path, f"{QUESTION} more") is None
    away = replace(pacman, server="file:///nowhere/$repo")
    assert away.fetch(packages, tmp_path / "cache") == found


def test_no_lock_and_one_that_makes_no_sense(tmp_path: Path) -> None:
    assert arch.read_lock(tmp_path, QUESTION) is None
    (tmp_path / arch.LOCK).write_text("question = 1\n")
    with pytest.raises(RecipeError, match="no lock file"):
        arch.read_lock(tmp_path, QUESTION)


def test_an_unknown_package(pacman: Pacman) -> None:
    with pytest.raises(RecipeError, match="there is no package sytemd in core"):
        pacman.resolve(["sytemd"])


def test_an_impossible_package(pacman: Pacman) -> None:
    with pytest.raises(RecipeError, match="cannot be installed together") as caught:
        pacman.resolve(["broken"])
    assert "not-there" in caught.value.message


def test_an_unreachable_server(pacman: Pacman) -> None:
    with pytest.raises(NetworkError, match="cannot be fetched"):
        replace(pacman, server="http://127.0.0.1:9/$repo").resolve(["systemd"])


def test_another_key(pacman: Pacman, repository: Arch, tmp_path: Path) -> None:
    """Whoever took over the server can list what they like, but not sign it."""
    packages = pacman.resolve(["kmod"])
    thief = Arch(tmp_path / "thief")
    thief.core.mkdir(parents=True)
    make_key(thief)
    publish(thief)
    strict = replace(pacman, folder=tmp_path / "strict", keys=(thief.keys,))
    with pytest.raises(NetworkError, match="not signed by any of the recipe's keys"):
        strict.fetch(packages, tmp_path / "cache")
    with pytest.raises(NetworkError, match="cannot be fetched"):
        strict.resolve(["kmod"])  # Its lists are signed, too.


def test_an_unsigned_package(pacman: Pacman, repository: Arch, tmp_path: Path) -> None:
    packages = [msgspec.structs.replace(one, signature="") for one in pacman.resolve(["kmod"])]
    bare = tmp_path / "bare/core/x86_64"
    bare.mkdir(parents=True)
    for package in packages:
        shutil.copy(repository.core / package.file, bare)
    unsigned = replace(pacman, server=f"file://{tmp_path}/bare/$repo/$arch")
    with pytest.raises(NetworkError, match="is not signed"):
        unsigned.fetch(packages, tmp_path / "cache")


def test_a_changed_package(pacman: Pacman, repository: Arch, tmp_path: Path) -> None:
    packages = pacman.resolve(["kmod"])
    changed = tmp_path / "changed/core/x86_64"
    shutil.copytree(repository.core, changed)
    for package in packages:
        with (changed / package.file).open("ab") as stream:
            stream.write(b"more")
    with pytest.raises(NetworkError, match="has the sha256"):
        replace(pacman, server=f"file://{tmp_path}/changed/$repo/$arch").fetch(packages, tmp_path / "cache")


def test_keys_that_are_none(pacman: Pacman, tmp_path: Path) -> None:
    (tmp_path / "keys.gpg").write_text("hello\n")
    with pytest.raises(RecipeError, match="cannot be read as keys"):
        replace(pacman, keys=(tmp_path / "keys.gpg",)).resolve(["kmod"])
    with pytest.raises(RecipeError, match="has no keys"):
        replace(pacman, keys=()).resolve(["kmod"])


def test_python_s_version(pacman: Pacman) -> None:
    package = arch.Package("python", "1:3.13.5-1", "core", "f", "0", 1, 1)
    assert arch.python_version([package], "") == "3.13"
    assert arch.python_version([], "3.12") == "3.12"
